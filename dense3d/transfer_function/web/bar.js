// The bar on top, the tools on the left, and the line at the bottom.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { iconButton } from "./controls.js";
import { TOOLS } from "./tools.js";
import { showKeys } from "./keys.js";
import { frameSelect, showOpen } from "./open.js";
import { showExport, showImport } from "./files.js";

export function startBar(app) {
	const { store, actions } = app;
	const name = h("strong", { class: "file" });
	const facts = h("span", { class: "facts" });
	const step = (action, label, key) => {
		const text = h("span", { class: "step" });
		const button = h(
			"button",
			{
				type: "button",
				class: "button quiet",
				"data-tip": `${label} (${key})`,
				"aria-label": label,
				id: action,
				onclick: () => actions[action](),
			},
			icon(action),
			text,
		);
		store.on("state", () => {
			const what = store.server[action];
			button.disabled = !what;
			text.textContent = what ?? label;
			button.dataset.tip = what ? `${label}: ${what} (${key})` : `Nothing to ${action}`;
			button.setAttribute("aria-label", what ? `${label}: ${what}` : label);
		});
		return button;
	};
	const opener = h(
		"button",
		{
			type: "button",
			class: "button quiet",
			id: "open",
			"data-tip": "Open another volume of the folder; the work on this one is kept",
			onclick: () => showOpen(app),
		},
		icon("folder"),
		h("span", {}, "Open"),
	);
	store.on("state", () => (opener.hidden = !store.server.file));
	document.getElementById("bar").append(
		h("span", { class: "brand" }, h("span", { class: "brand-mark", "aria-hidden": "true" }), "dense3d"),
		h("div", { class: "title" }, name, facts),
		h("div", { class: "group" }, step("undo", "Undo", "Ctrl+Z"), step("redo", "Redo", "Ctrl+Y")),
		h(
			"div",
			{ class: "group" },
			iconButton("home", "Slices and 3D view as at the start (Home)", () => app.resetViews()),
			iconButton("keys", "Keys and mouse (?)", () => showKeys(app)),
		),
		h(
			"div",
			{ class: "group" },
			frameSelect(store),
			opener,
			h(
				"button",
				{
					type: "button",
					class: "button quiet",
					id: "import",
					"data-tip": "Load a segmentation, a session or a transfer function",
					onclick: () => showImport(app),
				},
				icon("load"),
				h("span", {}, "Import"),
			),
			h(
				"button",
				{
					type: "button",
					class: "button primary",
					id: "export",
					"data-tip": "Save the segmentation, a transfer function or a picture",
					onclick: () => showExport(app),
				},
				icon("save"),
				h("span", {}, "Export"),
			),
		),
	);
	store.on("state", () => {
		const { volume } = store.server;
		name.textContent = volume.name;
		const reduced = volume.working.factors.some(factor => factor > 1);
		const spacing = volume.spacing.map(value => Number(value.toPrecision(3))).join(" × ");
		facts.textContent =
			`${volume.shape.join(" × ")} · ${spacing} mm` +
			(reduced ? ` · worked on at ${volume.working.shape.join(" × ")}` : "");
		facts.dataset.tip = [
			`${volume.dtype}, ${volume.orientation}${volume.modality ? `, ${volume.modality}` : ""}`,
			...(volume.notes ?? []),
			...(store.server.notes ?? []),
		].join(" · ");
		document.title = `${volume.name} · dense3d`;
	});
}

export function startRail(app) {
	const { store } = app;
	const rail = document.getElementById("rail");
	const buttons = TOOLS.map(tool => {
		const button = iconButton(
			tool.name,
			`${tool.title} (${tool.key.toUpperCase()}). ${tool.hint}`,
			() => store.set({ tool: tool.name }),
			{ id: `tool-${tool.name}` },
		);
		button.setAttribute("aria-label", tool.title);
		return button;
	});
	const radius = h("span", { class: "radius", "data-tip": "Radius of brush and eraser ([ and ])" });
	rail.append(...buttons, radius);
	const update = () => {
		for (const [at, button] of buttons.entries())
			button.setAttribute("aria-pressed", TOOLS[at].name === store.view.tool);
		radius.textContent = `${store.view.radius.toFixed(store.view.radius < 10 ? 1 : 0)} mm`;
		radius.classList.toggle("off", !["brush", "erase"].includes(store.view.tool));
	};
	store.on("view", update);
	update();
}

export function startStatus(app) {
	const { store, textures, grid } = app;
	const where = h("span", { class: "where" });
	const hint = h("span", { class: "hint" });
	const task = h("span", { class: "task" });
	const fill = h("i");
	const bar = h("span", { class: "bar" }, fill);
	const cancel = h(
		"button",
		{
			type: "button",
			class: "button quiet small",
			"data-tip": "End it; what is done stays",
			onclick: () => app.connection.send("cancel"),
		},
		"Cancel",
	);
	const goOn = h(
		"button",
		{
			type: "button",
			class: "button quiet small",
			"data-tip": "Prepare the method after all",
			onclick: () => app.connection.send("prepare"),
		},
		"Go on",
	);
	const work = h("span", { class: "work" }, task, bar, cancel, goOn);
	const line = h("span", { class: "connection" });
	document.getElementById("status").append(where, hint, work, line);

	const write = text => text !== where.textContent && (where.textContent = text);
	const place = () => {
		if (!store.server) return;
		const voxel = app.tools.hovered?.voxel ?? store.view.crosshair;
		if (!grid().contains(voxel)) {
			write("outside of the volume");
			return;
		}
		const [low, high] = store.server.volume.range;
		const working = grid().toWorking(voxel);
		const raw = textures().valueAt(working);
		const value = raw === null ? "" : ` · ${amount(low + (raw / 65535) * (high - low), store.server.volume)}`;
		const found = textures().classAt(working, store.classes);
		const millimetres = grid()
			.toWorld(voxel)
			.map(one => one.toFixed(1))
			.join(", ");
		write(
			`${voxel.join(", ")} (${millimetres} mm)${value}` +
				(found ? ` · ${found.item.name} ${(found.score / 255).toFixed(2)}` : ""),
		);
	};
	app.showPlace = place;
	store.on("view", changed => {
		if (changed.length === 1 && changed[0] === "camera") return;
		hint.textContent = TOOLS.find(tool => tool.name === store.view.tool).hint;
		place();
	});
	store.on("progress", () => {
		const progress = store.progress;
		const cancelled = Boolean(progress?.cancelled);
		const busy = progress && progress.done < 1 && !cancelled && !progress.failed;
		work.classList.toggle("on", Boolean(busy) || cancelled);
		bar.hidden = cancel.hidden = cancelled;
		goOn.hidden = !cancelled;
		if (cancelled) task.textContent = `${progress.task}: cancelled at ${Math.round(100 * progress.done)} %`;
		if (!busy) return;
		const left =
			progress.left_s === null || progress.left_s === undefined ? "" : `, ${duration(progress.left_s)} left`;
		task.textContent = `${progress.task} ${Math.round(100 * progress.done)} %${left}`;
		fill.style.width = `${100 * progress.done}%`;
	});
	const connection = () => {
		const session = store.server?.session;
		const problem = session?.problem;
		line.className = `connection ${!store.connected ? "off" : problem ? "warn" : "on"}`;
		line.textContent = !store.connected
			? "Server lost: calling again"
			: problem
				? "Not saved"
				: session?.saved === false
					? "Saving …"
					: "Saved";
		line.dataset.tip = !store.connected
			? "Marks made now are sent when it answers again"
			: (problem ?? `Every step is saved in ${session?.file ?? "the session's file"}`);
	};
	store.on("connection", connection).on("state", connection).on("state", place).on("hover", place);
}

/** A value as the file has it: whole numbers where it holds such, Hounsfield units of a CT. */
function amount(value, { dtype, modality, range }) {
	const unit = modality === "CT" ? " HU" : "";
	if (!dtype.startsWith("float")) return `${Math.round(value)}${unit}`;
	const digits = Math.max(0, Math.ceil(3 - Math.log10(range[1] - range[0] || 1))); // a thousandth of the range
	return `${Number(value.toFixed(Math.min(20, digits)))}${unit}`;
}

function duration(seconds) {
	if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
	return `${Math.round(seconds / 60)} min`;
}
