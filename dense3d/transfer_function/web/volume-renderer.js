// The 3D view: few rays while something moves, all of them when it is still.
//
// While moving, one small picture is drawn at a time; its size follows what the graphics processor achieves.
// When nothing has moved for a moment, a full picture is drawn in strips between which the page stays alive.

import { Program, Target, filter, finished } from "./gl.js";
import { setShared } from "./shaders.js";
import { SHOW, volumeSource } from "./volume-shader.js";
import { TransferTable } from "./transfer-function.js";
import { orbit } from "./vectors.js";

const AIM = 60; // milliseconds a moving picture may take; the browser's own part comes on top
const STRIP = 60; // milliseconds a strip of the still picture may take
const FEWEST_STRIPS = 48; // of a still picture: what is dense may follow on what is empty
const REST = 180; // milliseconds without a change until the still picture begins
const SMALLEST = 0.16; // size of moving pictures, of the pane's

export class VolumeRenderer {
	constructor(gl, store, grid, textures) {
		Object.assign(this, { gl, store, grid, textures });
		this.programs = new Map();
		this.show = new Program(gl, SHOW);
		this.moving = new Target(gl);
		this.still = new Target(gl);
		this.transfer = null;
		this.occupancy = gl.createTexture();
		gl.bindTexture(gl.TEXTURE_3D, this.occupancy);
		gl.texStorage3D(gl.TEXTURE_3D, 1, gl.RG8UI, ...textures.bricks.size);
		filter(gl, gl.TEXTURE_3D, gl.NEAREST);
		this.scale = 0.35;
		this.rate = 10; // rows of a strip
		this.busy = false;
		this.version = 0; // counts changes; a picture of an older one is not shown as still
		this.shown = null; // the target whose picture is newest
		this.changedAt = 0;
		this.facts = { frames: 0, stills: 0, frame_ms: 0, still: false, scale: this.scale };
		this.table = new TransferTable();
	}

	/** A TransferTable. */
	setTransfer(table) {
		const { gl } = this;
		if (!this.transfer || this.table.rows !== table.rows) {
			gl.deleteTexture(this.transfer);
			this.transfer = gl.createTexture();
			gl.bindTexture(gl.TEXTURE_2D, this.transfer);
			gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, 256, table.rows);
			filter(gl, gl.TEXTURE_2D, gl.LINEAR);
		}
		this.table = table;
		gl.bindTexture(gl.TEXTURE_2D, this.transfer);
		gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, table.rows, gl.RGBA, gl.UNSIGNED_BYTE, table.bytes);
		this.occupied();
	}

	/** Anew after a change of the transfer function, of scores, thresholds, or of what is visible. */
	occupied() {
		const { gl, store, textures } = this;
		const seen = store.view.volumeOpacity > 0;
		const opacity = Array.from({ length: 256 }, (_, at) => (seen ? this.table.largest[at] : 0));
		const levels = Array(4 * textures.groups.length).fill(null);
		for (const item of store.classes) {
			if (textures.classIds[item.slot] !== item.id) continue;
			levels[item.slot] = {
				level: Math.trunc(255 * item.threshold),
				visible: item.visible && item.opacity > 0,
			};
		}
		const contents = textures.bricks.contents(opacity, levels);
		gl.bindTexture(gl.TEXTURE_3D, this.occupancy);
		gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
		const size = textures.bricks.size;
		gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, 0, ...size, gl.RG_INTEGER, gl.UNSIGNED_BYTE, contents);
		this.changed();
	}

	changed() {
		this.version += 1;
		this.changedAt = performance.now();
		this.facts.still = false;
	}

	/** Whether there is something to draw that has not been begun. */
	get waiting() {
		return !this.busy && this.drawn !== this.version && this.textures.volume !== null;
	}

	/** A small picture for a pane of this size (pixels), there when this returns. */
	draw(area) {
		const { gl } = this;
		const start = performance.now();
		const width = Math.max(16, Math.round(area.width * this.scale));
		const height = Math.max(16, Math.round(area.height * this.scale));
		this.moving.resize(width, height);
		this.rays(this.moving, 1.6, 0, height);
		// waits for it: a fence would tell only some frames of the browser later
		gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
		const took = performance.now() - start;
		this.shown = this.moving;
		this.drawn = this.version;
		Object.assign(this.facts, { frames: this.facts.frames + 1, frame_ms: took, scale: this.scale });
		const better = this.scale * Math.sqrt(AIM / Math.max(took, 4));
		this.scale = Math.min(1, Math.max(SMALLEST, this.scale + 0.5 * (better - this.scale)));
	}

	/** The full picture, strip by strip; gives up when something changes. */
	async refine(area) {
		const { gl } = this;
		if (this.busy || this.drawn !== this.version || this.refined === this.version) return false;
		if (performance.now() - this.changedAt < REST) return false;
		this.busy = true;
		const version = this.version;
		this.still.resize(area.width, area.height);
		for (let row = 0; row < area.height && version === this.version;) {
			const rows = Math.min(area.height - row, Math.round(this.rate));
			this.rays(this.still, 0.6, row, rows);
			const took = await finished(gl);
			const most = Math.ceil(area.height / FEWEST_STRIPS);
			this.rate = Math.min(most, Math.max(2, this.rate * Math.min(1.5, STRIP / Math.max(took, 4))));
			row += rows;
		}
		this.busy = false;
		if (version !== this.version || gl.isContextLost()) return false;
		this.refined = version;
		this.shown = this.still;
		this.facts.stills += 1;
		this.facts.still = true;
		return true;
	}

	rays(target, step, row, rows) {
		const { gl, store, grid, textures } = this;
		const groups = textures.groups.length;
		if (!this.programs.has(groups)) this.programs.set(groups, new Program(gl, volumeSource(groups)));
		const view = orbit(store.view.camera, grid.box, target.width / target.height);
		const finest = Math.min(...grid.workingSpacing);
		const program = this.programs.get(groups).use();
		setShared(program, gl, textures, store.classes);
		program
			.texture("occupancy", gl.TEXTURE_3D, this.occupancy)
			.texture("transfer", gl.TEXTURE_2D, this.transfer)
			.set({
				eye: view.eye,
				forward: view.forward,
				across: view.across,
				above: view.above,
				box: grid.box,
				voxels: grid.working,
				clip_low: store.view.clip.low,
				clip_high: store.view.clip.high,
				step_length: step * finest,
				unit_length: finest,
				volume_opacity: store.view.volumeOpacity,
				shading: store.view.shading,
				rows: this.table.rows,
				steepest: this.table.steepest,
				seed: 0,
			});
		gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
		gl.viewport(0, 0, target.width, target.height);
		gl.scissor(0, row, target.width, rows);
		program.draw();
	}

	/** Put the newest picture into the pane. */
	present(area) {
		const { gl } = this;
		if (!this.shown) return;
		gl.bindFramebuffer(gl.FRAMEBUFFER, null);
		gl.viewport(area.x, area.y, area.width, area.height);
		gl.scissor(area.x, area.y, area.width, area.height);
		this.show.use().texture("picture", gl.TEXTURE_2D, this.shown.texture).draw();
	}
}
