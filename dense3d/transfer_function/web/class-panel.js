// The list of classes: name, colour, size, and for the active one threshold and opacity.

import { BACKGROUND } from "./store.js";
import { css, fromHex, h, toHex } from "./dom.js";
import { icon } from "./icons.js";
import { iconButton, section, select, slider } from "./controls.js";

const volume = ml =>
	ml === null || ml === undefined
		? ""
		: ml >= 1000
			? `${(ml / 1000).toFixed(2)} l`
			: ml >= 100
				? `${ml.toFixed(0)} ml`
				: ml >= 0.01 || ml === 0
					? `${ml.toFixed(ml >= 10 ? 1 : 2)} ml`
					: "< 0.01 ml";

export class ClassPanel {
	constructor(store, actions) {
		Object.assign(this, { store, actions });
		this.rows = new Map();
		this.list = h("div", { class: "classes", role: "listbox", "aria-label": "Classes" });
		this.method = select({
			label: "Method",
			tip: "How marks become classes",
			options: [],
			value: "",
			onInput: method => this.choose(method),
		});
		this.background = this.backgroundRow();
		this.sign = h(
			"div",
			{ class: "signs", role: "radiogroup", "aria-label": "What a mark says" },
			this.signButton(true, "plus", "Belongs"),
			this.signButton(false, "minus", "Does not"),
		);
		this.element = section(
			"classes",
			"Classes",
			"What you mark: choose one, then click in a slice or in 3D",
			this.sign,
			this.list,
			h(
				"div",
				{ class: "line" },
				h(
					"button",
					{
						type: "button",
						class: "button",
						"data-tip": "Another structure (N)",
						onclick: () => actions.addClass(),
					},
					icon("plus"),
					"New class",
				),
				h(
					"button",
					{
						type: "button",
						class: "button quiet",
						"data-tip": "Take all marks of the active class back; undo brings them back",
						onclick: () => actions.clear(store.view.activeClass),
					},
					"Clear marks",
				),
			),
			this.method,
		);
		store
			.on("state", () => this.update())
			.on("look", () => this.update())
			.on(
				"view",
				changed => changed.some(name => ["activeClass", "positive"].includes(name)) && this.update(),
			);
	}

	/** The choice stays as it is until a state has it, or the server refuses it. */
	async choose(method) {
		const chosen = (this.chosen = { revision: Infinity });
		const answer = await this.actions.connection.send("method", { method });
		chosen.revision = answer.revision ?? -1;
		this.update();
	}

	signButton(positive, name, label) {
		const tip = positive
			? "Marks say what belongs to the class; the right button says the opposite (I)"
			: "Marks say what does not belong to the class (I)";
		const button = h(
			"button",
			{ type: "button", role: "radio", "data-tip": tip, onclick: () => this.store.set({ positive }) },
			icon(name),
			label,
		);
		this.store.on("view", () => button.setAttribute("aria-checked", this.store.view.positive === positive));
		button.setAttribute("aria-checked", positive);
		return button;
	}

	backgroundRow() {
		const row = h(
			"div",
			{
				class: "class background",
				role: "option",
				tabIndex: 0,
				"data-tip": "Marks of the background say what belongs to no class (0)",
			},
			h(
				"div",
				{ class: "class-line" },
				h("span", { class: "swatch hollow" }),
				h("span", { class: "name" }, "Background"),
				h("kbd", {}, "0"),
			),
		);
		row.addEventListener("click", () => this.store.activate(BACKGROUND));
		row.addEventListener("keydown", event => event.key === "Enter" && this.store.activate(BACKGROUND));
		return row;
	}

	make(id) {
		const { store, actions } = this;
		const item = () => store.classOf(id);
		const hold = field => on => store.editing[on ? "add" : "delete"](`${id}.${field}`);
		const color = h("input", {
			type: "color",
			class: "swatch",
			"aria-label": "Colour",
			"data-tip": "Colour",
			oninput: () => actions.updateClass(id, { color: fromHex(color.value) }),
		});
		const name = h("input", {
			type: "text",
			class: "name",
			"aria-label": "Name",
			maxLength: 60,
			spellcheck: false,
			"data-tip": "Name: click to change",
			onfocus: () => hold("name")(true),
			onblur: () => hold("name")(false),
			onchange: () =>
				name.value.trim() ? actions.updateClass(id, { name: name.value.trim() }) : this.update(),
			onkeydown: event => event.key === "Enter" && name.blur(),
		});
		const key = h("kbd");
		const ml = h("span", { class: "ml", "data-tip": "Size of the structure" });
		const eye = iconButton("eye", "Show or hide (H)", event => {
			event.stopPropagation();
			actions.updateClass(id, { visible: !item().visible });
		});
		const remove = iconButton("remove", "Remove the class and its marks; undo brings it back", event => {
			event.stopPropagation();
			actions.removeClass(id);
		});
		const threshold = slider({
			label: "Threshold",
			tip: "How sure it has to be: lower takes in more",
			min: 0,
			max: 0.99,
			step: 0.01,
			value: 0.5,
			format: value => value.toFixed(2),
			onHold: hold("threshold"),
			onInput: value => actions.updateClass(id, { threshold: value }),
		});
		const opacity = slider({
			label: "Opacity",
			tip: "In the 3D view",
			min: 0,
			max: 1,
			step: 0.01,
			value: 1,
			format: value => `${Math.round(100 * value)} %`,
			onHold: hold("opacity"),
			onInput: value => actions.updateClass(id, { opacity: value }),
		});
		const count = h("span", { class: "marks-count" });
		const details = h("div", { class: "class-more" }, threshold, opacity, count);
		const row = h(
			"div",
			{ class: "class", role: "option", tabIndex: 0 },
			h("div", { class: "class-line" }, color, name, ml, key, eye, remove),
			details,
		);
		row.addEventListener("pointerdown", () => store.activate(id));
		row.addEventListener("keydown", event => {
			if (event.target === row && event.key === "Enter") store.activate(id);
		});
		return { row, color, name, key, ml, eye, threshold, opacity, count };
	}

	update() {
		const { store } = this;
		if (!store.server) return;
		for (const [id, parts] of this.rows) {
			if (store.classOf(id)) continue;
			parts.row.remove();
			this.rows.delete(id);
		}
		for (const [at, item] of store.classes.entries()) {
			if (!this.rows.has(item.id)) this.rows.set(item.id, this.make(item.id));
			const parts = this.rows.get(item.id);
			if (this.list.children[at] !== parts.row)
				this.list.insertBefore(parts.row, this.list.children[at] ?? null);
			this.fill(parts, item, at);
		}
		if (this.list.lastChild !== this.background) this.list.append(this.background);
		const chosen = store.view.activeClass === BACKGROUND;
		this.background.classList.toggle("active", chosen);
		this.background.setAttribute("aria-selected", chosen);
		const methods = store.server.methods.map(({ name, label }) => [name, label]);
		if (this.method.dataset.known !== JSON.stringify(methods)) this.method.fill(methods);
		this.method.dataset.known = JSON.stringify(methods);
		if (this.chosen && this.chosen.revision <= store.server.revision) this.chosen = null;
		if (!this.chosen) this.method.put(store.server.method);
		this.method.hidden = methods.length < 2;
	}

	fill(parts, item, at) {
		const { store } = this;
		const active = store.view.activeClass === item.id;
		parts.row.classList.toggle("active", active);
		parts.row.classList.toggle("unseen", !item.visible);
		parts.row.setAttribute("aria-selected", active);
		parts.row.setAttribute("aria-label", item.name);
		parts.row.style.setProperty("--color", css(item.color));
		if (document.activeElement !== parts.color) parts.color.value = toHex(item.color);
		if (document.activeElement !== parts.name) parts.name.value = item.name;
		parts.key.textContent = at < 9 ? at + 1 : "";
		parts.eye.replaceChildren(icon(item.visible ? "eye" : "hidden"));
		parts.eye.setAttribute("aria-pressed", item.visible);
		if (!store.editing.has(`${item.id}.threshold`)) parts.threshold.put(item.threshold);
		if (!store.editing.has(`${item.id}.opacity`)) parts.opacity.put(item.opacity);
		const own = store.server.prompts.filter(prompt => prompt.class === item.id);
		const reduced = store.server.volume.working.factors.some(factor => factor > 1);
		parts.ml.dataset.tip = reduced
			? "Size of the structure where it is worked on; an export follows its edges more finely"
			: "Size of the structure";
		parts.ml.textContent = own.length || item.ml ? volume(item.ml) : ""; // nothing is known of a new class
		const against = own.filter(prompt => !prompt.positive).length;
		const dice = item.dice === null || item.dice === undefined ? "" : ` · Dice ${item.dice.toFixed(3)}`;
		parts.count.textContent =
			(own.length
				? `${own.length - against} for, ${against} against`
				: "No marks yet: click on the structure") + dice;
	}
}
