// Export and import.

import { ask } from "./connection.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { dialog, toast } from "./messages.js";

function keep(blob, name) {
	const link = h("a", { href: URL.createObjectURL(blob), download: name });
	document.body.append(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(link.href), 30000);
}

/** File name that an answer suggests. */
function suggested(headers, otherwise) {
	const found = /filename\*?=(?:UTF-8'')?"?([^";]+)/i.exec(headers.get("Content-Disposition") ?? "");
	return found ? decodeURIComponent(found[1]) : otherwise;
}

export async function showExport(app) {
	let formats;
	try {
		formats = await (await ask("/api/export/formats")).json();
	} catch (error) {
		toast(error.message, "error");
		return;
	}
	const { store } = app;
	const boxes = store.classes.map(item => {
		const input = h("input", { type: "checkbox", checked: true, value: item.id });
		return { input, row: h("label", { class: "check" }, input, h("span", {}, item.name)) };
	});
	const buttons = formats.map(({ format, label, suffix }) => {
		const button = h(
			"button",
			{ type: "button", class: "choice", "data-format": format, onclick: () => save(format, suffix, button) },
			icon("save"),
			h("span", {}, label),
			h("small", {}, suffix),
		);
		return button;
	});
	const picture = h(
		"button",
		{ type: "button", class: "choice", onclick: () => snapshot(app, element) },
		icon("camera"),
		h("span", {}, "Picture of what is on the screen"),
		h("small", {}, ".png"),
	);
	const element = dialog(
		"Export",
		h(
			"p",
			{ class: "note" },
			"Segmentations lie in the file's own grid: same size, orientation and place in the world.",
		),
		boxes.length > 1 && h("fieldset", {}, h("legend", {}, "Classes"), ...boxes.map(({ row }) => row)),
		h("div", { class: "choices" }, ...buttons, picture),
	);

	async function save(format, suffix, button) {
		button.disabled = true;
		const classes = boxes.filter(({ input }) => input.checked).map(({ input }) => Number(input.value));
		try {
			const body = JSON.stringify({ format, classes });
			const answer = await ask("/api/export", {
				method: "POST",
				headers: { "Content-Type": "application/json" },
				body,
			});
			const name = suggested(answer.headers, `${store.server.volume.name.replace(/\..*$/, "")}${suffix}`);
			keep(await answer.blob(), name);
			toast(`Exported ${name}.`, "success");
			element.close();
		} catch (error) {
			toast(error.message, "error");
		}
		button.disabled = false;
	}
}

/** The four panes with their lines, as one PNG. */
function snapshot(app, element) {
	const { stage } = app;
	const picture = h("canvas", { width: stage.canvas.width, height: stage.canvas.height });
	const context = picture.getContext("2d");
	context.drawImage(stage.canvas, 0, 0);
	for (const pane of Object.values(stage.panes)) {
		const { x, y, width, height } = pane.area;
		if (width > 1) context.drawImage(pane.marks, x, picture.height - y - height, width, height);
	}
	picture.toBlob(blob => keep(blob, `${app.store.server.volume.name.replace(/\..*$/, "")}-view.png`));
	element.close();
}

const ROLES = [
	["segmentation", "Segmentation", "becomes the classes, to be refined; undo takes it back"],
	["reference", "Reference", "a segmentation to compare with: the classes show their Dice"],
	["session", "Session", "marks and classes saved before (.json)"],
	["transfer_function", "Transfer function", "of the volume"],
];

export function showImport(app) {
	let role = ROLES[0][0];
	const choices = ROLES.map(([value, title, text]) =>
		h(
			"label",
			{ class: "check" },
			h("input", {
				type: "radio",
				name: "role",
				value,
				checked: value === role,
				onchange: () => (role = value),
			}),
			h("span", {}, h("b", {}, title), ` ${text}`),
		),
	);
	const input = h("input", {
		type: "file",
		id: "import-file",
		"aria-label": "File to import",
		onchange: () => input.files[0] && send(input.files[0]),
	});
	const drop = h(
		"label",
		{ class: "drop" },
		icon("load"),
		h("span", {}, "Choose a file, or drop it here"),
		input,
	);
	drop.addEventListener("dragover", event => event.preventDefault());
	drop.addEventListener("drop", event => {
		event.preventDefault();
		if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
	});
	const element = dialog("Import", h("div", { class: "choices" }, ...choices), drop);

	async function send(file) {
		drop.classList.add("busy");
		try {
			await ask(`/api/import?name=${encodeURIComponent(file.name)}&role=${role}`, {
				method: "POST",
				body: file,
			});
			toast(`Imported ${file.name}.`, "success");
			element.close();
		} catch (error) {
			toast(error.message, "error");
		}
		drop.classList.remove("busy");
		input.value = "";
	}
}
