// How the 3D view looks: transfer function of the volume, shading, and what is cut away.

import { h } from "./dom.js";
import { range, section, select, slider } from "./controls.js";
import { TransferEditor } from "./transfer-editor.js";
import { RegionEditor } from "./region-editor.js";
import { tabulateRegions } from "./regions.js";
import { tabulate } from "./transfer-function.js";
import { toast } from "./messages.js";

const AXES = [
	["R", "L"],
	["A", "P"],
	["S", "I"],
];

export class VolumePanel {
	/** onTable(table): a TransferTable for the renderer, after every edit. */
	constructor(store, actions, onTable) {
		Object.assign(this, { store, actions, onTable });
		this.editor = new TransferEditor(store, (points, finished) => this.edited(points, finished));
		this.regions = new RegionEditor(store, (regions, finished) => this.bounded(regions, finished));
		this.regions.element.hidden = true;
		this.by = select({
			label: "Seen by",
			tip: "What decides how a place of the volume looks: its value, or also how steep values are there",
			options: [
				["values", "Values"],
				["regions", "Values and gradients"],
			],
			value: "values",
			onInput: by => this.decide(by),
		});
		this.preset = select({
			label: "Volume",
			tip: "Ready-made transfer functions of the volume",
			options: [],
			value: "",
			onInput: name => this.choose(name),
		});
		this.opacity = slider({
			label: "Opacity",
			tip: "Of the volume beside the classes",
			min: 0,
			max: 1,
			step: 0.01,
			value: 1,
			format: value => `${Math.round(100 * value)} %`,
			onInput: volumeOpacity => store.set({ volumeOpacity }),
		});
		this.shading = slider({
			label: "Shading",
			tip: "Light on surfaces",
			min: 0,
			max: 1,
			step: 0.01,
			value: 1,
			format: value => `${Math.round(100 * value)} %`,
			onInput: shading => store.set({ shading }),
		});
		// sliders run as the slices do: the right of the patient, the front and the head come first
		this.clips = AXES.map((letters, axis) =>
			range({
				label: `Cut between ${letters.join(" and ")}`,
				tip: `What is seen between ${letters.join(" and ")}`,
				letters,
				value: [0, 1],
				onInput: ([low, high]) => {
					const clip = { low: [...store.view.clip.low], high: [...store.view.clip.high] };
					[clip.low[axis], clip.high[axis]] = [1 - high, 1 - low];
					store.set({ clip });
				},
			}),
		);
		this.element = section(
			"volume",
			"3D view",
			"How the volume and the cuts look in 3D",
			this.by,
			this.preset,
			this.editor.element,
			this.regions.element,
			this.opacity,
			this.shading,
			h("p", { class: "caption" }, "Cut away"),
			...this.clips,
			h(
				"div",
				{ class: "line" },
				h(
					"button",
					{
						type: "button",
						class: "button quiet",
						"data-tip": "Cut at the crosshair, from the front",
						onclick: () => this.cutAtCrosshair(),
					},
					"Cut at crosshair",
				),
				h(
					"button",
					{
						type: "button",
						class: "button quiet",
						"data-tip": "See all",
						onclick: () => store.set({ clip: { low: [0, 0, 0], high: [1, 1, 1] } }),
					},
					"Whole",
				),
			),
		);
		store
			.on("state", () => this.fill())
			.on(
				"view",
				changed => changed.some(name => ["clip", "shading", "volumeOpacity"].includes(name)) && this.update(),
			);
	}

	cutAtCrosshair() {
		const { crosshair } = this.store.view;
		const high = [1, (crosshair[1] + 1) / this.store.server.volume.shape[1], 1];
		this.store.set({ clip: { low: [0, 0, 0], high } });
	}

	choose(name) {
		const found = this.ready.find(one => one.name === name);
		if (!found) return;
		this.editor.chosen = -1;
		this.editor.put(found.points);
		this.edited(found.points, true, name);
	}

	edited(points, finished, name = "") {
		this.points = points;
		this.preset.put(name);
		this.onTable(tabulate(points, this.store.server.volume.range));
		if (finished) this.actions.transferFunction({ name, points });
	}

	/** Boxes of values and gradients were edited. */
	bounded(regions, finished) {
		this.onTable(tabulateRegions(regions, this.store.server.volume.range));
		if (finished) this.actions.transferFunction({ name: "", points: this.points, regions });
	}

	async decide(by) {
		if (by === "values") {
			this.show("values");
			this.edited(this.points, true, this.ready.find(one => one.points === this.points)?.name);
			return;
		}
		try {
			await this.regions.load();
		} catch (error) {
			this.by.put("values");
			toast(error.message, "error");
			return;
		}
		this.show("regions");
		if (!this.regions.regions.length) this.regions.put([this.regions.first]);
		this.bounded(this.regions.regions, true);
	}

	show(by) {
		this.by.put(by);
		this.regions.element.hidden = by !== "regions";
		this.editor.element.hidden = this.preset.hidden = by === "regions";
		if (by === "regions") this.regions.load().catch(error => toast(error.message, "error"));
	}

	/** What the server has, or at the start what suits the volume. */
	fill() {
		const { volume, transfer_function: given } = this.store.server;
		const key = JSON.stringify(given);
		if (this.known === key && this.ready) return;
		this.known = key;
		this.ready = volume.transfer_functions;
		this.preset.fill([["", "Own"], ...this.ready.map(({ name }) => [name, name])]);
		const { points, regions, name } = given ?? this.ready[0];
		// a 2D function of a file has no points to go back to
		this.points = regions.length && points.length < 2 ? this.ready[0].points : points;
		this.editor.put(this.points);
		this.preset.put(name);
		this.show(regions.length ? "regions" : "values");
		if (regions.length) this.regions.put(regions);
		this.onTable(regions.length ? tabulateRegions(regions, volume.range) : tabulate(points, volume.range));
		this.update();
	}

	update() {
		const { clip, shading, volumeOpacity } = this.store.view;
		this.opacity.put(volumeOpacity);
		this.shading.put(shading);
		for (const [axis, slide] of this.clips.entries()) slide.put([1 - clip.high[axis], 1 - clip.low[axis]]);
	}
}
