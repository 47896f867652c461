// Editor of the transfer function over the volume's histogram.

import { clamp, css, figure, fromHex, h, toHex } from "./dom.js";

const NEAR = 9; // pixels from a point within which it is meant
const PAD = 8;

export class TransferEditor {
	/** onChange(points, finished) */
	constructor(store, onChange) {
		Object.assign(this, { store, onChange });
		this.points = [];
		this.chosen = -1;
		this.canvas = h("canvas", {
			class: "transfer",
			tabIndex: 0,
			role: "application",
			"aria-label":
				"Transfer function over the histogram. Arrow keys move the chosen point, Delete removes it",
			"data-tip": "Drag points; double click adds one, right click or Delete removes one",
		});
		this.color = h("input", {
			type: "color",
			class: "swatch",
			"aria-label": "Colour of the point",
			"data-tip": "Colour of the chosen point",
			oninput: () => this.edit({ color: fromHex(this.color.value) }, false),
			onchange: () => this.onChange(this.points, true),
		});
		this.value = h("span", { class: "note" });
		this.element = h(
			"div",
			{ class: "transfer-box" },
			this.canvas,
			h("div", { class: "line" }, this.color, this.value),
		);
		this.listen();
		new ResizeObserver(() => this.draw()).observe(this.canvas);
	}

	put(points) {
		this.points = points;
		this.chosen = clamp(this.chosen, -1, points.length - 1);
		this.draw();
	}

	/** Values that the editor spans: where the histogram has something. */
	get span() {
		const { range, histogram } = this.store.server.volume;
		if (!histogram?.counts?.length) return range;
		const { counts, low, high } = histogram;
		const total = counts.reduce((sum, count) => sum + count, 0);
		let sum = 0;
		let last = counts.length - 1;
		while (last > 1 && sum + counts[last] < total * 2e-5) sum += counts[last--];
		return [
			low,
			Math.max(
				low + ((last + 1) / counts.length) * (high - low),
				...this.points.slice(1, -1).map(point => point.value),
			),
		];
	}

	toScreen({ value, opacity }) {
		const [low, high] = this.span;
		const { clientWidth: width, clientHeight: height } = this.canvas;
		const x = PAD + clamp((value - low) / (high - low || 1), 0, 1) * (width - 2 * PAD);
		return [x, height - PAD - opacity * (height - 2 * PAD)];
	}

	fromScreen(x, y) {
		const [low, high] = this.span;
		const { clientWidth: width, clientHeight: height } = this.canvas;
		return {
			value: low + clamp((x - PAD) / (width - 2 * PAD), 0, 1) * (high - low),
			opacity: clamp((height - PAD - y) / (height - 2 * PAD), 0, 1),
		};
	}

	at(event) {
		const found = this.points.findIndex(point => {
			const [x, y] = this.toScreen(point);
			return Math.hypot(x - event.offsetX, y - event.offsetY) < NEAR;
		});
		return found;
	}

	edit(fields, finished = true) {
		if (this.chosen < 0) return;
		const points = this.points.map(point => ({ ...point }));
		const lower = points[this.chosen - 1]?.value ?? -Infinity;
		const upper = points[this.chosen + 1]?.value ?? Infinity;
		Object.assign(points[this.chosen], fields);
		points[this.chosen].value = clamp(points[this.chosen].value, lower, upper);
		this.points = points;
		this.draw();
		this.onChange(points, finished);
	}

	remove(at) {
		if (at < 0 || this.points.length <= 2) return;
		this.points = this.points.filter((_, n) => n !== at);
		this.chosen = -1;
		this.draw();
		this.onChange(this.points, true);
	}

	listen() {
		const { canvas } = this;
		let dragging = false;
		canvas.addEventListener("contextmenu", event => event.preventDefault());
		canvas.addEventListener("pointerdown", event => {
			const at = this.at(event);
			if (event.button === 2) {
				this.remove(at);
				return;
			}
			this.chosen = at;
			dragging = at >= 0;
			if (dragging) canvas.setPointerCapture(event.pointerId);
			this.draw();
		});
		canvas.addEventListener("pointermove", event => {
			if (dragging) this.edit(this.fromScreen(event.offsetX, event.offsetY), false);
			else canvas.style.cursor = this.at(event) >= 0 ? "grab" : "crosshair";
		});
		canvas.addEventListener("pointerup", () => {
			if (dragging) this.onChange(this.points, true);
			dragging = false;
		});
		canvas.addEventListener("dblclick", event => {
			if (this.at(event) >= 0) return;
			const made = this.fromScreen(event.offsetX, event.offsetY);
			let at = this.points.findIndex(point => point.value > made.value);
			if (at < 0) at = this.points.length;
			const near = this.points[Math.max(0, at - 1)];
			this.points = [...this.points.slice(0, at), { ...made, color: near.color }, ...this.points.slice(at)];
			this.chosen = at;
			this.draw();
			this.onChange(this.points, true);
		});
		canvas.addEventListener("keydown", event => {
			const [low, high] = this.span;
			const point = this.points[this.chosen];
			if (event.key === "Tab" || !this.points.length) return;
			if (event.key === "Delete" || event.key === "Backspace") this.remove(this.chosen);
			else if (event.key === "Enter") this.chosen = (this.chosen + 1) % this.points.length;
			else if (!point) return;
			else if (event.key === "ArrowLeft") this.edit({ value: point.value - (high - low) / 100 });
			else if (event.key === "ArrowRight") this.edit({ value: point.value + (high - low) / 100 });
			else if (event.key === "ArrowUp") this.edit({ opacity: Math.min(1, point.opacity + 0.02) });
			else if (event.key === "ArrowDown") this.edit({ opacity: Math.max(0, point.opacity - 0.02) });
			else return;
			event.preventDefault();
			event.stopPropagation();
			this.draw();
		});
	}

	draw() {
		const { canvas } = this;
		const { clientWidth: width, clientHeight: height } = canvas;
		if (!width || !this.store.server) return;
		const ratio = window.devicePixelRatio || 1;
		canvas.width = width * ratio;
		canvas.height = height * ratio;
		const context = canvas.getContext("2d");
		context.scale(ratio, ratio);
		this.drawHistogram(context, width, height);
		if (!this.points.length) return;
		const places = this.points.map(point => this.toScreen(point));
		const ground = height - PAD;
		const blend = context.createLinearGradient(PAD, 0, width - PAD, 0);
		for (const [at, [x]] of places.entries()) {
			blend.addColorStop(clamp((x - PAD) / (width - 2 * PAD), 0, 1), css(this.points[at].color, 0.55));
		}
		context.beginPath();
		context.moveTo(PAD, ground);
		context.lineTo(PAD, places[0][1]);
		for (const [x, y] of places) context.lineTo(x, y);
		context.lineTo(width - PAD, places[places.length - 1][1]);
		context.lineTo(width - PAD, ground);
		context.fillStyle = blend;
		context.fill();
		context.beginPath();
		for (const [x, y] of places) context.lineTo(x, y);
		context.strokeStyle = "#e1e7ee";
		context.lineWidth = 1.25;
		context.stroke();
		for (const [at, [x, y]] of places.entries()) {
			context.beginPath();
			context.arc(x, y, at === this.chosen ? 6 : 4.5, 0, 2 * Math.PI);
			context.fillStyle = css(this.points[at].color);
			context.fill();
			context.strokeStyle = at === this.chosen ? "#ffffff" : "#0d1116";
			context.lineWidth = at === this.chosen ? 2 : 1.5;
			context.stroke();
		}
		const point = this.points[this.chosen];
		this.color.disabled = !point;
		if (point) this.color.value = toHex(point.color);
		this.value.textContent = point
			? `${figure(point.value)} · opacity ${Math.round(100 * point.opacity)} %`
			: "Choose a point to see its value and colour.";
	}

	drawHistogram(context, width, height) {
		const { histogram } = this.store.server.volume;
		if (!histogram?.counts?.length) return;
		const [low, high] = this.span;
		const { counts } = histogram;
		const most = Math.log1p(counts.reduce((a, b) => Math.max(a, b), 1));
		context.fillStyle = "rgba(143,158,176,.3)";
		context.beginPath();
		context.moveTo(PAD, height - PAD);
		for (const [at, count] of counts.entries()) {
			const value = histogram.low + ((at + 0.5) / counts.length) * (histogram.high - histogram.low);
			if (value > high) break;
			const x = PAD + ((value - low) / (high - low || 1)) * (width - 2 * PAD);
			context.lineTo(x, height - PAD - (Math.log1p(count) / most) * (height - 2 * PAD) * 0.92);
		}
		context.lineTo(width - PAD, height - PAD);
		context.fill();
	}
}
