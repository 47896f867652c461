// The page: puts the parts together, and tells each what the others' changes mean for it.

import { Actions } from "./actions.js";
import { startBar, startRail, startStatus } from "./bar.js";
import { brickAt, CertaintyPanel, leastCertain } from "./certainty-panel.js";
import { ClassPanel } from "./class-panel.js";
import { ask, Connection, download } from "./connection.js";
import { Grid, PLANES } from "./geometry.js";
import { startKeys } from "./keys.js";
import { startTooltips, toast } from "./messages.js";
import { NotesPanel } from "./notes-panel.js";
import { askForVolume } from "./open.js";
import { ServerPictures } from "./server-pictures.js";
import { SlicePanel } from "./slice-panel.js";
import { SliceView } from "./slice-view.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { VolumeTextures } from "./textures.js";
import { Tools } from "./tools.js";
import { VolumePanel } from "./volume-panel.js";
import { VolumeView } from "./volume-view.js";

const SLICES = ["axial", "coronal", "sagittal"];

class App {
	constructor() {
		this.store = new Store();
		this.ready = false;
		this.visited = new Set();
		this.connection = new Connection({
			state: message => this.received(message),
			current: message => (this.current = message.revision),
			error: message => toast(message.message, "error"),
			progress: message => this.progress(message),
			planes: (header, bytes) => this.planes(header, bytes),
			maps: (header, bytes) => this.maps(header, bytes),
			status: connected => this.status(connected),
			replaced: () => location.reload(),
		});
		this.actions = new Actions(this.store, this.connection);
	}

	async start() {
		startTooltips();
		const state = await (await ask("/api/state")).json();
		if (!state.volume) {
			await askForVolume();
			return;
		}
		this.grid = new Grid(state.volume);
		this.textures = new VolumeTextures(this.grid.working);
		this.store.server = state;
		this.tools = new Tools(this.store, this.actions, view =>
			this.stage.remark(...(view ? [view.name] : SLICES)),
		);
		this.build();
		this.restore(state);
		this.listen();
		this.store.receive(state);
		this.store.set({});
		if (!(await this.stage.start())) this.fallBack();
		const { bytes } = await download("/api/volume", part => this.curtain("Loading the volume …", part));
		await this.textures.setVolume(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2));
		this.stage.reclassed();
		document.getElementById("curtain").remove();
		this.connection.open(state.volume.key);
		this.ready = true;
		// a new session: one class is there to be marked
		if (!state.classes.length && !state.undo && !state.redo) this.actions.addClass();
	}

	build() {
		const { store, actions, grid, textures, tools } = this;
		this.views = {};
		for (const plane of PLANES) {
			const view = new SliceView(plane, store, grid, tools);
			view.onCamera = () => this.stage.redraw(view.name);
			this.views[view.name] = view;
		}
		this.views.volume = new VolumeView(store, grid, textures, actions, () => this.stage.table);
		const place = document.getElementById("views");
		for (const name of [...SLICES.slice(0, 2), "sagittal", "volume"]) {
			const view = this.views[name];
			view.onExpand = () => this.expand(name);
			view.onEnter = () => (this.under = view);
			place.append(view.element);
		}
		this.stage = new Stage(store, grid, textures, this.views);
		this.volumePanel = new VolumePanel(store, actions, table => {
			this.stage.table = table;
			if (this.stage.gl) this.stage.volume.setTransfer(table);
			this.stage.moved();
		});
		this.classPanel = new ClassPanel(store, actions);
		document
			.getElementById("panels")
			.append(
				new NotesPanel(store).element,
				this.classPanel.element,
				new SlicePanel(store).element,
				this.volumePanel.element,
				new CertaintyPanel(store, this).element,
			);
		startBar(this);
		startRail(this);
		const app = this;
		startStatus({
			store,
			textures: () => textures,
			grid: () => grid,
			tools,
			connection: this.connection,
			set showPlace(fn) {
				app.showPlace = fn;
			},
		});
		startKeys(this);
	}

	/** The view of before a reload, or one that suits the volume. */
	restore(state) {
		const { volume, view } = state;
		const [low, high] = volume.range;
		const share = value => (value - low) / (high - low || 1);
		Object.assign(this.store.view, {
			crosshair: volume.shape.map(n => Math.floor(n / 2)),
			window: { low: share(volume.window.low), high: share(volume.window.high) },
			activeClass: state.classes.find(item => item.id)?.id ?? 0,
			radius: Math.max(2, Number((3 * Math.max(...volume.spacing)).toPrecision(2))),
		});
		for (const [name, value] of Object.entries(view ?? {}))
			if (name in this.store.view) this.store.view[name] = value;
		if (!this.grid.contains(this.store.view.crosshair)) {
			this.store.view.crosshair = volume.shape.map(n => Math.floor(n / 2));
		}
	}

	listen() {
		const { store } = this;
		store.on("view", changed => this.viewChanged(changed));
		store.on("look", () => this.stage.reclassed());
		store.on("marking", () => this.stage.hold());
		let looks = "";
		store.on("state", () => {
			const now = JSON.stringify(
				store.classes.map(({ id, slot, color, opacity, threshold, visible }) => [
					id,
					slot,
					color,
					opacity,
					threshold,
					visible,
				]),
			);
			if (now !== looks) this.stage.reclassed();
			else this.stage.remark(...SLICES); // only marks have changed
			looks = now;
			this.visited.clear();
		});
		window.addEventListener("beforeunload", () =>
			this.connection.tell("view", { view: this.actions.savedView() }),
		);
		document.addEventListener("visibilitychange", () => this.stage.all());
	}

	viewChanged(changed) {
		const { stage } = this;
		const has = (...names) => names.some(name => changed.includes(name));
		if (has("crosshair") || !changed.length)
			stage.after("places", () => {
				for (const name of SLICES) this.views[name].update();
			});
		if (has("window", "overlay")) stage.redraw(...SLICES);
		if (has("crosshair")) {
			for (const name of SLICES) {
				const index = this.store.view.crosshair[this.views[name].plane.axis];
				if (index !== this.views[name].drawn) stage.redraw(name);
				this.views[name].drawn = index;
			}
			stage.remark(...SLICES, "volume");
			this.actions.sendPlanes();
		}
		if (has("activeClass") && this.store.view.overlay.mode === "score") stage.redraw(...SLICES);
		if (has("camera", "clip", "shading")) stage.moved();
		if (has("volumeOpacity")) {
			if (stage.gl) stage.volume.occupied();
			stage.moved();
		}
		if (has("tool", "radius", "positive", "activeClass")) stage.remark(...SLICES);
		if (changed.length && this.ready) this.actions.sendView();
		stage.after("place", () => this.showPlace());
	}

	/** The state of after a mark waits until the mark's answer is drawn, unless it brings or takes a class. */
	received(message) {
		const ids = list => list.map(item => item.id).join();
		const same = this.store.server && ids(this.store.server.classes) === ids(message.classes);
		if (same && this.stage) this.stage.after("state", () => this.show(message));
		else {
			this.stage?.waiting.delete("state"); // an older one
			this.show(message);
		}
	}

	show(message) {
		this.store.receive(message);
		if (message.progress) this.progress(message.progress);
		if (message.session.saved === false) this.askWhetherSaved();
	}

	/** The state is sent before its file is written. */
	askWhetherSaved() {
		clearTimeout(this.asking);
		this.asking = setTimeout(async () => {
			if (!this.store.connected) return;
			const { session } = await (await ask("/api/state")).json();
			this.store.server.session = session;
			this.store.emit("connection");
			if (!session.saved && !session.problem) this.askWhetherSaved();
		}, 1500);
	}

	progress(message) {
		const before = this.store.progress;
		this.store.progress = message;
		this.store.emit("progress");
		if (message.failed && message.failed !== before?.failed) toast(message.failed, "error");
		if (message.cancelled && before && !before.cancelled) {
			const then = message.ready ? "marks work with what is there" : "marks do nothing until it is done";
			toast(`Cancelled: ${message.task}; ${then}. “Go on” takes it up again.`);
		}
	}

	/** More classes than shaders can look at: from now on the server draws. */
	bound({ groups }) {
		const { mostGroups } = this.stage;
		if (Math.max(...groups) < mostGroups) return;
		this.stage.giveUp(`The graphics card takes ${4 * mostGroups} classes`);
		this.fallBack();
	}

	planes(header, bytes) {
		const came = performance.now();
		this.bound(header);
		const name = PLANES[header.axis].name.toLowerCase();
		this.stage.scored(name, () => this.textures.setScores(header, bytes));
		this.actions.planesArrived(this.stage, came);
		this.stage.after("place", () => this.showPlace());
	}

	maps(header, bytes) {
		this.bound(header);
		this.textures.setScores(header, bytes);
		if (header.last) this.textures.settle(() => this.stage.reclassed());
	}

	status(connected) {
		if (this.store.connected && !connected)
			toast("The server does not answer; the page calls again until it does.", "error");
		if (!this.store.connected && connected && this.lostOnce) toast("The server is back.", "success");
		this.lostOnce ||= this.store.connected && !connected;
		this.store.connected = connected;
		this.store.emit("connection");
		if (connected) this.actions.sendPlanes();
	}

	fallBack() {
		document.body.classList.add("no-webgl");
		new ServerPictures(this.store, this.grid, this.views, name => this.stage.remark(name));
		const note = document.createElement("p");
		note.className = "banner";
		note.setAttribute("role", "note");
		note.textContent = `${this.stage.reason}: the server draws, and 3D turns more slowly. All tools work.`;
		document.getElementById("views").append(note);
		this.stage.all();
	}

	curtain(text, part) {
		document.getElementById("curtain-text").textContent = text;
		document.getElementById("curtain-bar").style.width = `${100 * part}%`;
	}

	/** The view under the mouse. */
	active() {
		return this.under ?? this.views.axial;
	}

	expand(name) {
		const now = this.store.view.maximised === name ? null : name;
		this.store.view.maximised = now;
		document.getElementById("views").classList.toggle("single", now !== null);
		for (const view of Object.values(this.views)) view.element.hidden = now !== null && view.name !== now;
		this.stage.layout();
	}

	resetViews() {
		for (const name of SLICES) this.views[name].camera.reset();
		this.store.set({
			camera: { azimuth: 30, elevation: 20, zoom: 1.25, pan: [0, 0] },
			clip: { low: [0, 0, 0], high: [1, 1, 1] },
		});
		this.stage.redraw(...SLICES);
	}

	async goToUnsure() {
		const { grid } = this;
		const first = this.visited.size ? null : await ask("/api/unsure").then(
			answer => answer.json(),
			() => null,
		);
		if (first) {
			const working = first.map((value, axis) => Math.floor(value / grid.factors[axis]));
			const here = this.store.view.crosshair.every((value, axis) => Math.floor(value) === first[axis]);
			this.visited.add(brickAt(this.textures, working));
			this.store.setCrosshair(first.map(value => value + 0.5));
			if (!here) return; // else scores changed since it was shown, and the next is wanted
		}
		const found = leastCertain(this.textures, this.store.classes, this.visited);
		if (!found) {
			toast(this.visited.size ? "No other place is unsure." : "Nothing is unsure yet: mark something first.");
			this.visited.clear();
			return;
		}
		this.store.setCrosshair(found.map((value, axis) => (value + 0.5) * grid.factors[axis]));
	}
}

const app = new App();
app.start().catch(error => {
	app.curtain(error.message, 0);
	document.getElementById("curtain").classList.add("failed");
});

/** Facts about the page, for tests and measurements; nothing here changes anything. */
window.dense3d = {
	get facts() {
		const { stage, actions, store, textures } = app;
		return {
			ready: app.ready && store.connected,
			revision: store.server?.revision ?? null,
			key: store.server?.volume.key ?? null,
			current: app.current ?? null, // the revision whose maps are here
			settled: !textures?.stale.size,
			...stage?.facts,
			volume: stage?.volume ? { ...stage.volume.facts, busy: stage.volume.busy } : null,
			...actions.facts,
			crosshair: store.view.crosshair,
			view: store.view,
			groups: textures?.groups.length ?? 0,
		};
	},
	/** Point of the window over a voxel of a slice ("axial" ...). */
	screen(name, voxel) {
		const view = app.views[name];
		const box = view.element.getBoundingClientRect();
		const [x, y] = view.camera.toScreen(
			voxel.map(value => value + 0.5),
			box.width,
			box.height,
		);
		return [box.left + x, box.top + y];
	},
	pick: (x, y) => app.views.volume.pick(x, y),
	loseContext() {
		return app.stage.gl.getExtension("WEBGL_lose_context");
	},
};
