// The volume and the scores as 3D textures that all four panes share, with copies for looking values up.
//
// A volume is RG8, low and high byte of 16 bits: both are filtered alike and the shader puts them together,
// which is linear and thus exact, where 16-bit textures are missing. Scores are RGBA8, four classes a texture.

import { filter } from "./gl.js";
import { BRICK, Bricks } from "./occupancy.js";

const SLAB_BYTES = 4 << 20; // uploaded between two frames

const pause = () => new Promise(resolve => setTimeout(resolve, 0));

function allocate(gl, format, [x, y, z]) {
	const texture = gl.createTexture();
	gl.bindTexture(gl.TEXTURE_3D, texture);
	gl.texStorage3D(gl.TEXTURE_3D, 1, format, x, y, z);
	filter(gl, gl.TEXTURE_3D, gl.LINEAR);
	return texture;
}

export class VolumeTextures {
	constructor(shape) {
		this.shape = shape;
		this.values = null; // Uint16Array of the volume, x fastest
		this.bricks = new Bricks(shape);
		this.classIds = []; // by slot: 4 * group + channel; 0: free
		this.groups = []; // {texture, data: Uint8Array RGBA}
		this.stale = new Set(); // groups whose bricks may hold too much
		this.generation = 0; // of the newest whole maps
		this.gl = null;
		this.volume = null;
	}

	/** Give a (new) context what is known. */
	async attach(gl) {
		this.gl = gl;
		this.volume = null;
		if (!gl) return;
		gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
		for (const group of this.groups) group.texture = null;
		if (this.values) await this.setVolume(this.values);
		for (const at of this.groups.keys()) this.group(at);
	}

	get slabs() {
		const [x, y, z] = this.shape;
		const planes = Math.max(BRICK, Math.floor(SLAB_BYTES / (x * y * 4) / BRICK) * BRICK);
		return Array.from({ length: Math.ceil(z / planes) }, (_, at) => [
			at * planes,
			Math.min(z, (at + 1) * planes),
		]);
	}

	async setVolume(values) {
		const { gl } = this;
		const [x, y] = this.shape;
		this.values = values;
		const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
		if (gl) this.volume = allocate(gl, gl.RG8, this.shape);
		this.bricks.clearVolume();
		for (const [low, high] of this.slabs) {
			if (gl) {
				gl.bindTexture(gl.TEXTURE_3D, this.volume);
				const part = bytes.subarray(low * x * y * 2, high * x * y * 2);
				gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, low, x, y, high - low, gl.RG, gl.UNSIGNED_BYTE, part);
			}
			this.bricks.addVolume(values, low, high);
			await pause();
		}
	}

	/** Group of four classes, made when its first scores come. */
	group(at) {
		const [x, y, z] = this.shape;
		while (this.groups.length <= at) {
			this.groups.push({ texture: null, data: new Uint8Array(x * y * z * 4) });
			this.bricks.addGroup();
		}
		const group = this.groups[at];
		if (this.gl && !group.texture) {
			group.texture = allocate(this.gl, this.gl.RGBA8, this.shape);
			this.fresh(at);
		}
		return group;
	}

	fresh(at) {
		const [x, y] = this.shape;
		for (const [low, high] of this.slabs) {
			const part = this.groups[at].data.subarray(low * x * y * 4, high * x * y * 4);
			this.sub(at, [0, 0, low], [x, y, high - low], part);
		}
	}

	/** A box of scores of some groups, as it came: one slice, or a slab of the whole grid. */
	setScores(header, bytes) {
		const { offset, shape, groups, class_ids: ids } = header;
		const length = shape[0] * shape[1] * shape[2] * 4;
		for (const [n, at] of groups.entries()) {
			const part = bytes.subarray(n * length, (n + 1) * length);
			const { data } = this.group(at);
			this.sub(at, offset, shape, part);
			this.copy(data, offset, shape, part);
			for (let c = 0; c < 4; c++) this.classIds[4 * at + c] = ids[4 * n + c];
			if (header.type === "maps") {
				this.bricks.addMap(at, data, offset[2], offset[2] + shape[2]);
				this.stale.add(at);
			}
		}
	}

	/** After the last slab: bricks that no class reaches any more are empty again. */
	async settle(onChange) {
		const generation = ++this.generation;
		for (const at of [...this.stale]) {
			const bricks = new Bricks(this.shape);
			bricks.addGroup();
			for (const [low, high] of this.slabs) {
				bricks.addMap(0, this.groups[at].data, low, high);
				await pause();
				if (generation !== this.generation) return;
			}
			for (let c = 0; c < 4; c++) this.bricks.scores[4 * at + c] = bricks.scores[c];
			this.stale.delete(at);
		}
		onChange();
	}

	sub(at, [x, y, z], [width, height, depth], bytes) {
		const { gl } = this;
		if (!gl || !this.groups[at].texture) return;
		gl.bindTexture(gl.TEXTURE_3D, this.groups[at].texture);
		gl.texSubImage3D(gl.TEXTURE_3D, 0, x, y, z, width, height, depth, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
	}

	copy(data, start, [width, height, depth], part) {
		const [x, y] = this.shape;
		if (width === x && height === y) {
			data.set(part, x * y * start[2] * 4);
			return;
		}
		// a voxel at a time: a slice across the first axis has rows of one
		const words = new Uint32Array(data.buffer);
		const given = new Uint32Array(part.slice().buffer); // at a multiple of four bytes
		let from = 0;
		for (let k = 0; k < depth; k++) {
			for (let j = 0; j < height; j++) {
				const to = start[0] + x * (start[1] + j + y * (start[2] + k));
				for (let i = 0; i < width; i++) words[to + i] = given[from++];
			}
		}
	}

	offset([x, y, z]) {
		return x + this.shape[0] * (y + this.shape[1] * z);
	}

	/** 0..65535 at a voxel of the working grid, or null before the volume is here. */
	valueAt(voxel) {
		return this.values ? this.values[this.offset(voxel)] : null;
	}

	/** Score 0..255 in a slot. */
	scoreAt(slot, voxel) {
		return this.groups[slot >> 2].data[this.offset(voxel) * 4 + (slot & 3)];
	}

	/** The class that holds at a voxel: the largest score above its threshold, the first of equals; or null. */
	classAt(voxel, classes) {
		let found = null;
		let top = -1;
		for (const item of classes) {
			if (this.classIds[item.slot] !== item.id) continue;
			const score = this.scoreAt(item.slot, voxel);
			if (score > Math.trunc(255 * item.threshold) && score > top) {
				top = score;
				found = item;
			}
		}
		return found && { item: found, score: top };
	}
}
