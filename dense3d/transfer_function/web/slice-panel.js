// How slices look: window, presets, and what is laid over.

import { figure, h } from "./dom.js";
import { section, select, slider, toggle } from "./controls.js";

export class SlicePanel {
	constructor(store) {
		this.store = store;
		const overlay = fields => store.set({ overlay: { ...store.view.overlay, ...fields } });
		this.preset = select({
			label: "Preset",
			tip: "Windows for tissues",
			options: [],
			value: "",
			onInput: name => {
				const preset = this.presets.find(one => one.name === name);
				if (preset) this.setWindow(preset.low, preset.high);
			},
		});
		this.ends = ["Low", "High"].map((label, end) =>
			h(
				"label",
				{
					class: "number",
					"data-tip": `${label} end of the window, in the volume's units (Alt + drag in a slice)`,
				},
				h("span", {}, label),
				h("input", {
					type: "number",
					step: "any",
					"aria-label": `${label} end of the window`,
					onchange: () => this.typed(end),
				}),
			),
		);
		this.on = toggle({
			label: "Overlay",
			tip: "Classes over the slices (T)",
			value: true,
			onInput: on => overlay({ on }),
		});
		this.opacity = slider({
			label: "Opacity",
			tip: "Of the overlay",
			min: 0,
			max: 1,
			step: 0.01,
			value: 0.5,
			format: value => `${Math.round(100 * value)} %`,
			onInput: opacity => overlay({ opacity }),
		});
		this.mode = select({
			label: "Show",
			tip: "What is laid over the slices",
			options: [
				["classes", "Classes"],
				["score", "Score of the active class"],
				["unsure", "Where it is unsure"],
			],
			value: "classes",
			onInput: mode => overlay({ mode }),
		});
		this.outline = toggle({
			label: "Outlines",
			tip: "Stronger edges of classes",
			value: true,
			onInput: outline => overlay({ outline }),
		});
		this.smooth = toggle({
			label: "Smooth",
			tip: "Values between voxels; off shows the voxels themselves",
			value: true,
			onInput: smooth => overlay({ smooth }),
		});
		this.element = section(
			"slices",
			"Slices",
			"Contrast of the slices and what is laid over them",
			this.preset,
			h("div", { class: "line" }, ...this.ends),
			this.mode,
			this.opacity,
			h("div", { class: "line" }, this.on, this.outline, this.smooth),
		);
		this.presets = [];
		store
			.on("state", () => this.fill())
			.on("view", changed => changed.some(name => ["window", "overlay"].includes(name)) && this.update());
	}

	/** Share 0..1 of the volume's range <-> its units. */
	get range() {
		return this.store.server.volume.range;
	}

	setWindow(low, high) {
		const [from, to] = this.range;
		const span = to - from || 1;
		this.store.set({ window: { low: (low - from) / span, high: (high - from) / span } });
	}

	typed(end) {
		const values = this.ends.map(label => Number(label.lastChild.value));
		if (values.every(Number.isFinite) && values[0] < values[1]) this.setWindow(...values);
		else this.update(end);
	}

	fill() {
		const { volume } = this.store.server;
		const presets = volume.presets ?? [];
		if (JSON.stringify(presets) !== JSON.stringify(this.presets)) {
			this.presets = presets;
			this.preset.fill([["", "Own"], ...presets.map(({ name }) => [name, name])]);
		}
		this.update();
	}

	update() {
		if (!this.store.server) return;
		const { overlay, window } = this.store.view;
		const [from, to] = this.range;
		const values = [window.low, window.high].map(part => from + part * (to - from));
		for (const [end, label] of this.ends.entries()) {
			if (document.activeElement !== label.lastChild) label.lastChild.value = figure(values[end]);
		}
		const near = (a, b) => Math.abs(a - b) < 1e-3 * (to - from);
		const preset = this.presets.find(one => near(one.low, values[0]) && near(one.high, values[1]));
		this.preset.put(preset?.name ?? "");
		this.on.put(overlay.on);
		this.opacity.put(overlay.opacity);
		this.mode.put(overlay.mode);
		this.outline.put(overlay.outline);
		this.smooth.put(overlay.smooth);
	}
}
