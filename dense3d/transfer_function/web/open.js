// Another volume, frame or raw file of the opened folder; and the page that asks for one at the start.

import { ask } from "./connection.js";
import { select } from "./controls.js";
import { h } from "./dom.js";
import { dialog, toast } from "./messages.js";

const TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"];

function bytes(count) {
	if (count === null || count === undefined) return "folder";
	const units = ["B", "kB", "MB", "GB", "TB"];
	const at = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
	return `${Number((count / 1000 ** at).toPrecision(3))} ${units[at]}`;
}

/** Ask the server to open; all pages load again with it. A refusal is an Error with its sentence. */
export async function openVolume(wanted) {
	await ask("/api/open", {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify(wanted),
	});
	location.reload();
}

/** Which frame of a series is open, to choose another; hidden for a single volume. */
export function frameSelect(store) {
	const frames = select({
		label: "Frame",
		tip: "Which volume of the series is shown",
		options: [],
		value: "0",
		onInput: async frame => {
			toast(`Opening frame ${frame} …`);
			try {
				await openVolume({ ...store.server.file, frame: Number(frame) });
			} catch (error) {
				toast(error.message, "error");
				frames.put(String(store.server.file.frame ?? 0));
			}
		},
	});
	frames.classList.add("frames");
	let known = null;
	store.on("state", () => {
		const { volume, file } = store.server;
		if (known === volume.key) return;
		known = volume.key;
		frames.hidden = !file || volume.frames < 2;
		if (frames.hidden) return;
		frames.fill(Array.from({ length: volume.frames }, (_, at) => [String(at), `${at} of ${volume.frames}`]));
		frames.put(String(file.frame ?? 0));
	});
	return frames;
}

function field(label, tip, properties) {
	const input = h("input", { type: "text", "aria-label": label, size: 14, ...properties });
	return { input, row: h("label", { class: "field", "data-tip": tip }, h("span", {}, label), input) };
}

/** Fields of a file without a header; `text` is the layout as the command line takes it. */
function rawFields() {
	const size = field("Voxels", "Along x, y and z; x changes fastest", { placeholder: "512x512x300" });
	const spacing = field("Spacing (mm)", "Between voxel centres", { placeholder: "1x1x1" });
	const offset = field("Bytes before", "Of a header that is passed over", { value: "0", size: 6 });
	const type = select({
		label: "Type",
		tip: "Of the samples",
		options: TYPES.map(name => [name, name]),
		value: "uint16",
		onInput: () => {},
	});
	const order = select({
		label: "Byte order",
		tip: "Of samples of several bytes",
		options: [
			["little", "little endian"],
			["big", "big endian"],
		],
		value: "little",
		onInput: () => {},
	});
	const clean = text => text.trim().replace(/[\s,x×*]+/gi, "x");
	const element = h(
		"fieldset",
		{ class: "raw", hidden: true },
		h("legend", {}, "Layout, where the name does not tell it"),
		size.row,
		type,
		spacing.row,
		order,
		offset.row,
	);
	return {
		element,
		get text() {
			if (element.hidden || !size.input.value.trim()) return null;
			const parts = [clean(size.input.value), type.querySelector("select").value];
			if (spacing.input.value.trim()) parts.push(clean(spacing.input.value));
			if (order.querySelector("select").value === "big") parts.push("big");
			if (Number(offset.input.value)) parts.push(`offset=${offset.input.value.trim()}`);
			return parts.join(":");
		},
	};
}

/** The list with what belongs to the chosen entry. */
function chooser(listing, now) {
	const raw = rawFields();
	const frame = select({
		label: "Frame",
		tip: "Which volume of the series to open",
		options: [],
		value: "",
		onInput: () => {},
	});
	frame.hidden = true;
	const facts = h("p", { class: "note", role: "status" }, "Choose a volume.");
	const problem = h("p", { class: "problem", role: "alert", hidden: true });
	const button = h(
		"button",
		{
			type: "button",
			class: "button primary",
			id: "open-chosen",
			disabled: true,
			"data-tip": "Open it; the work on the present volume is kept in its session",
			onclick: () => open(),
		},
		"Open",
	);
	let chosen = null;
	const rows = listing.files.map(entry => {
		const row = h(
			"button",
			{
				type: "button",
				class: "choice",
				"data-name": entry.name,
				"aria-pressed": "false",
				onclick: () => choose(entry, row),
				ondblclick: () => open(),
			},
			h("span", {}, entry.name),
			h("small", {}, `${entry.name === now?.name ? "open · " : ""}${entry.format} · ${bytes(entry.bytes)}`),
		);
		return row;
	});
	const tell = error => {
		problem.hidden = !error;
		problem.textContent = error?.message ?? "";
	};

	async function choose(entry, row) {
		for (const other of rows) other.setAttribute("aria-pressed", String(other === row));
		chosen = entry;
		button.disabled = false;
		raw.element.hidden = !entry.raw;
		frame.hidden = true;
		tell(null);
		facts.textContent = "Reading the header …";
		try {
			const header = await (await ask(`/api/files?${new URLSearchParams({ name: entry.name })}`)).json();
			if (chosen !== entry) return;
			const spacing = header.spacing.map(value => Number(value.toPrecision(3))).join(" × ");
			facts.textContent = [
				`${header.shape.join(" × ")} voxels of ${spacing} mm, ${header.dtype}, ${bytes(header.bytes)}`,
				...header.notes,
			].join(" · ");
			frame.hidden = header.frames < 2;
			frame.fill(Array.from({ length: header.frames }, (_, at) => [String(at), `${at} of ${header.frames}`]));
			frame.put("0");
		} catch (error) {
			if (chosen !== entry) return;
			facts.textContent = entry.raw ? "A raw file: state its layout." : "";
			if (!entry.raw) tell(error);
		}
	}

	async function open() {
		if (!chosen) return;
		const wanted = { name: chosen.name };
		if (!frame.hidden) wanted.frame = Number(frame.querySelector("select").value);
		if (raw.text) wanted.raw = raw.text;
		tell(null);
		element.classList.add("busy");
		button.disabled = true;
		facts.textContent = `Opening ${chosen.name} …`;
		try {
			await openVolume(wanted);
		} catch (error) {
			tell(error);
			facts.textContent = "";
			element.classList.remove("busy");
			button.disabled = false;
		}
	}

	const element = h(
		"div",
		{ class: "opener" },
		h("p", { class: "note" }, `Volumes in ${listing.folder}${listing.more ? " (the first of many)" : ""}`),
		rows.length
			? h("div", { class: "choices list" }, ...rows)
			: h("p", { class: "note" }, "There is no volume that dense3d reads."),
		facts,
		problem,
		raw.element,
		h("div", { class: "line end" }, frame, button),
	);
	return element;
}

export async function showOpen(app) {
	try {
		const listing = await (await ask("/api/files")).json();
		dialog("Open a volume", chooser(listing, app.store.server.file));
	} catch (error) {
		toast(error.message, "error");
	}
}

/** In place of the page, while no volume is open. */
export async function askForVolume() {
	document.title = "Open a volume · dense3d";
	const listing = await (await ask("/api/files")).json();
	const card = document.querySelector(".curtain-card");
	card.classList.add("wide");
	card.replaceChildren(h("h2", {}, "Open a volume"), chooser(listing, null));
}
