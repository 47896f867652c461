// What a person can do, as messages to the server. Keys, buttons and tools all come here.

import { BACKGROUND } from "./store.js";
import { throttle } from "./dom.js";
import { finished } from "./gl.js";
import { toast } from "./messages.js";

// colours that stay apart on grey pictures, for people with colour blindness too
const COLORS = [
	[230, 159, 80],
	[86, 180, 233],
	[102, 194, 120],
	[231, 110, 124],
	[178, 132, 232],
	[240, 214, 92],
	[72, 201, 190],
	[235, 140, 196],
	[150, 170, 255],
	[196, 214, 120],
	[214, 164, 130],
	[120, 220, 240],
];

export class Actions {
	constructor(store, connection) {
		this.store = store;
		this.connection = connection;
		// milliseconds from a mark to its messages, to the quick overlay, to the next frame, to WebGL's picture
		this.facts = { clicks: 0, message_ms: null, overlay_ms: null, frame_ms: null, click_ms: null };
		this.arrived = 0; // slices since
		this.clicked = null; // when the last prompt left
		this.updates = new Map();
		this.sendView = throttle(() => connection.tell("view", { view: this.savedView() }), 700);
		this.sendPlanes = throttle(() => connection.tell("planes", { planes: store.view.crosshair }), 60);
	}

	savedView() {
		const { crosshair, window, overlay, clip, camera, volumeOpacity, shading, tool, radius, activeClass } =
			this.store.view;
		return { crosshair, window, overlay, clip, camera, volumeOpacity, shading, tool, radius, activeClass };
	}

	/** positive as wanted; the background has no opposite. */
	async prompt(kind, fields, positive, since = performance.now()) {
		const { view } = this.store;
		const planes = view.crosshair;
		if (!this.store.classes.length) this.addClass();
		await this.adding;
		this.clicked = since;
		this.arrived = 0;
		this.connection.send("prompt", {
			class: view.activeClass,
			kind,
			positive: positive || view.activeClass === BACKGROUND,
			planes,
			...fields,
		});
	}

	/** A click at a voxel, which may lie outside; since: time of its event. */
	point(voxel, positive, since) {
		if (!this.inside(voxel)) {
			toast("That is outside of the volume: nothing was marked.", "error");
			return;
		}
		this.store.emit("marking");
		this.store.setCrosshair(voxel);
		this.prompt("point", { voxels: [voxel] }, positive, since);
	}

	inside(voxel) {
		return voxel.every((value, axis) => value >= 0 && value < this.store.server.volume.shape[axis]);
	}

	erase(voxel) {
		const { radius, activeClass } = this.store.view;
		this.clicked = performance.now();
		this.arrived = 0;
		this.connection.send("erase", { class: activeClass, voxel, radius });
	}

	/** The server knows of steps that this page does not know of yet. */
	undo() {
		this.step("undo");
	}

	redo() {
		this.step("redo");
	}

	async step(type) {
		const answer = await this.connection.send(type);
		if (answer.type === "done" && !answer.step) toast(`There is nothing to ${type}.`);
	}

	/** A new class, which is the active one; marks made meanwhile wait for it. */
	addClass() {
		if (this.adding) return;
		const used = new Set(this.store.classes.map(item => item.color.join()));
		const color =
			COLORS.find(one => !used.has(one.join())) ?? COLORS[this.store.classes.length % COLORS.length];
		this.adding = this.connection.send("class.add", { color }).then(answer => {
			this.adding = null;
			if (answer.type !== "done") return;
			if (this.store.classOf(answer.class)) this.store.activate(answer.class);
			else {
				this.store.awaited = { id: answer.class, revision: answer.revision };
				this.store.view.activeClass = answer.class;
			}
		});
	}

	/** Change a class: on this page at once, on the server a little later and at most every 80 ms. */
	updateClass(id, fields) {
		const edit = this.store.editClass(id, fields);
		const key = `${id} ${Object.keys(fields).join()}`;
		if (!this.updates.has(key)) {
			this.updates.set(
				key,
				throttle(
					(given, edit) =>
						this.connection
							.send("class.update", { class: id, ...given })
							.then(answer => this.store.answered(edit, answer)),
					80,
				),
			);
		}
		this.updates.get(key)(fields, edit);
	}

	removeClass(id) {
		this.connection.send("class.remove", { class: id });
	}

	clear(id) {
		this.connection.send("clear", id === undefined ? {} : { class: id });
	}

	cycleClass(step) {
		const { classes, awaited } = this.store;
		const ids = [...classes.map(item => item.id), ...(awaited ? [awaited.id] : []), BACKGROUND];
		const at = ids.indexOf(this.store.view.activeClass);
		this.store.activate(ids[(at + step + ids.length) % ids.length]);
	}

	transferFunction(value) {
		this.connection.send("transfer_function", { transfer_function: value });
	}

	/** A slice with the answer to the last mark is shown, it came just now: the third one ends the measurement. */
	async planesArrived(stage, came) {
		if (this.clicked === null) return;
		this.arrived += 1;
		if (this.arrived < 3) return;
		const start = this.clicked;
		this.clicked = null;
		const times = { message_ms: came - start, overlay_ms: performance.now() - start };
		await new Promise(requestAnimationFrame);
		await new Promise(resolve => setTimeout(resolve, 0)); // after which the frame is on its way
		times.frame_ms = performance.now() - start;
		await stage.drawn();
		if (stage.gl) await finished(stage.gl);
		times.click_ms = performance.now() - start;
		Object.assign(this.facts, times, { clicks: this.facts.clicks + 1 });
	}
}
