// Buttons, sliders and sections of the panels; every one has a name for screen readers and a tooltip.

import { h } from "./dom.js";
import { icon } from "./icons.js";

export function iconButton(name, label, onclick, extra = {}) {
	return h(
		"button",
		{ type: "button", class: "icon-button", "aria-label": label, "data-tip": label, onclick, ...extra },
		icon(name),
	);
}

/** A slider with its name and value; `format` writes the value. Has `.put(value)`. */
export function slider({ label, tip, min, max, step, value, format, onInput, onHold = () => {} }) {
	const read = h("output", { class: "value" });
	const input = h("input", { type: "range", min, max, step, "aria-label": label });
	const show = () => {
		read.textContent = format(Number(input.value));
		input.style.setProperty("--part", `${(100 * (input.value - min)) / (max - min)}%`);
	};
	input.addEventListener("input", () => {
		show();
		onInput(Number(input.value));
	});
	input.addEventListener("pointerdown", () => onHold(true));
	for (const name of ["pointerup", "pointercancel", "change"])
		input.addEventListener(name, () => onHold(false));
	const row = h("label", { class: "slider", "data-tip": tip }, h("span", {}, label), input, read);
	row.put = next => {
		input.value = next;
		show();
	};
	row.put(value);
	return row;
}

/** Two ends of a range on one line. Has `.put([low, high])`. */
export function range({ label, tip, letters, value, onInput }) {
	const ends = [0, 1].map(end =>
		h("input", {
			type: "range",
			min: 0,
			max: 1,
			step: 0.005,
			"aria-label": `${label}, ${end ? "upper" : "lower"} end`,
		}),
	);
	const fill = h("i");
	const show = () => {
		fill.style.left = `${100 * ends[0].value}%`;
		fill.style.right = `${100 * (1 - ends[1].value)}%`;
		// of two knobs in one place the one that can still move lies on top
		ends[0].style.zIndex = ends[0].value > 0.5 ? 2 : 1;
	};
	for (const [end, input] of ends.entries()) {
		input.addEventListener("input", () => {
			if (end === 0) input.value = Math.min(input.value, ends[1].value - 0.02);
			else input.value = Math.max(input.value, Number(ends[0].value) + 0.02);
			show();
			onInput([Number(ends[0].value), Number(ends[1].value)]);
		});
	}
	const row = h(
		"div",
		{ class: "range", "data-tip": tip },
		h("span", {}, letters[0]),
		h("div", { class: "range-track" }, fill, ...ends),
		h("span", {}, letters[1]),
	);
	row.put = ([low, high]) => {
		ends[0].value = low;
		ends[1].value = high;
		show();
	};
	row.put(value);
	return row;
}

export function toggle({ label, tip, value, onInput }) {
	const input = h("input", { type: "checkbox", onchange: () => onInput(input.checked) });
	const row = h(
		"label",
		{ class: "toggle", "data-tip": tip },
		input,
		h("span", { class: "toggle-mark" }),
		h("span", {}, label),
	);
	row.put = next => (input.checked = next);
	row.put(value);
	return row;
}

/** options: [[value, text], ...]. Has `.put(value)` and `.fill(options)`. */
export function select({ label, tip, options, value, onInput }) {
	const input = h("select", { "aria-label": label, onchange: () => onInput(input.value) });
	const row = h("label", { class: "select", "data-tip": tip }, h("span", {}, label), input);
	row.fill = next => input.replaceChildren(...next.map(([key, text]) => h("option", { value: key }, text)));
	row.put = next => (input.value = next ?? "");
	row.fill(options);
	row.put(value);
	return row;
}

/** A part of the panel that folds; it remembers whether. */
export function section(name, title, tip, ...children) {
	const key = `dense3d.section.${name}`;
	const details = h(
		"details",
		{ class: "section", open: localStorage.getItem(key) !== "closed" },
		h("summary", { "data-tip": tip }, title),
		h("div", { class: "section-body" }, ...children),
	);
	details.addEventListener("toggle", () => localStorage.setItem(key, details.open ? "open" : "closed"));
	return details;
}
