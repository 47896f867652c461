// What the page knows: the server's last state, edits under way, and what belongs to this tab alone.

export const BACKGROUND = 0;

export class Store {
	constructor() {
		this.listeners = new Map();
		this.server = null; // last whole state
		this.classes = []; // its classes, with the edits of this tab that are still on their way
		this.editing = new Set(); // "id.field" of controls that a hand is on: the server's value waits
		this.unanswered = new Map(); // "id.field" -> {revision}: edits of this tab that older states do not have
		this.awaited = null; // {id, revision} of a new class whose state is on its way
		this.connected = false;
		this.progress = null;
		this.view = {
			crosshair: [0, 0, 0], // voxel of the opened volume
			window: { low: 0, high: 1 },
			overlay: { on: true, opacity: 0.5, mode: "classes", smooth: true, outline: true },
			clip: { low: [0, 0, 0], high: [1, 1, 1] },
			camera: { azimuth: 30, elevation: 20, zoom: 1.25, pan: [0, 0] },
			volumeOpacity: 1,
			shading: 1,
			tool: "point",
			positive: true,
			radius: 5, // brush, in millimetres
			activeClass: 1,
			maximised: null,
		};
	}

	on(name, listener) {
		if (!this.listeners.has(name)) this.listeners.set(name, []);
		this.listeners.get(name).push(listener);
		return this;
	}

	emit(name, ...details) {
		for (const listener of this.listeners.get(name) ?? []) listener(...details);
	}

	/** A whole state from the server. */
	receive(state) {
		const first = this.server === null || this.server.volume.name !== state.volume.name;
		const before = new Map(this.classes.map(item => [item.id, item]));
		this.server = state;
		this.classes = state.classes
			.filter(item => item.id !== BACKGROUND)
			.map(item => {
				const kept = before.get(item.id);
				const edited = kept && Object.keys(item).filter(name => this.isEdited(`${item.id}.${name}`));
				return edited
					? { ...item, ...Object.fromEntries(edited.map(name => [name, kept[name]])) }
					: { ...item };
			});
		const arrived = this.awaited !== null && state.revision >= this.awaited.revision;
		if (arrived) this.awaited = null;
		const active = this.view.activeClass;
		if (![BACKGROUND, this.awaited?.id].includes(active) && !this.classOf(active)) {
			this.view.activeClass = this.classes[0]?.id ?? BACKGROUND; // removed, by undo or in another tab
		}
		if (first) this.emit("opened");
		this.emit("state");
		if (arrived) this.set({ activeClass: this.view.activeClass });
	}

	classOf(id) {
		return this.classes.find(item => item.id === id);
	}

	/** Whether the last state knows less of a field than this tab. */
	isEdited(field) {
		if (this.unanswered.get(field)?.revision <= this.server.revision) this.unanswered.delete(field);
		return this.editing.has(field) || this.unanswered.has(field);
	}

	/** Change a class on this page at once; sending it is the caller's, and telling the answer to the result. */
	editClass(id, fields) {
		const edit = { revision: Infinity };
		for (const name of Object.keys(fields)) this.unanswered.set(`${id}.${name}`, edit);
		Object.assign(this.classOf(id), fields);
		this.emit("look");
		return edit;
	}

	/** States from the answer's revision on have an edit; one that was refused is taken back. */
	answered(edit, answer) {
		edit.revision = answer.revision ?? -1;
		if (answer.type !== "done") this.receive(this.server);
	}

	/** Change what belongs to this tab: `set({tool: "brush"})`. */
	set(fields) {
		Object.assign(this.view, fields);
		this.emit("view", Object.keys(fields));
	}

	setCrosshair(voxel) {
		const shape = this.server.volume.shape;
		const inside = voxel.map((value, axis) => Math.min(shape[axis] - 1, Math.max(0, Math.floor(value))));
		if (inside.some((value, axis) => value !== this.view.crosshair[axis])) this.set({ crosshair: inside });
	}

	activate(id) {
		this.set({ activeClass: id });
	}

	/** Name and colour of a class, the background included. */
	describe(id) {
		return id === BACKGROUND ? { id, name: "Background", color: [150, 160, 172] } : this.classOf(id);
	}
}
