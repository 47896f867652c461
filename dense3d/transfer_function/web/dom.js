// Elements without a framework.

/** An element with properties (on* are listeners) and children. */
export function h(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (value === undefined || value === null || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "class") element.className = value;
		else if (name === "html") element.innerHTML = value;
		else if (name in element && !name.includes("-")) element[name] = value;
		else element.setAttribute(name, value === true ? "" : value);
	}
	element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
	return element;
}

/** Linear RGB triple of 0..255 as a CSS colour. */
export const css = (color, alpha = 1) => `rgba(${color.map(Math.round).join(",")},${alpha})`;

/** "#rrggbb" of a triple of 0..255, and back. */
export const toHex = color =>
	"#" + color.map(part => Math.round(part).toString(16).padStart(2, "0")).join("");
export const fromHex = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));

/** Calls fn at once and then at most every `wait` milliseconds, always with the last arguments. */
export function throttle(fn, wait) {
	let timer = null;
	let pending = null;
	const tick = () => {
		timer = null;
		if (pending) {
			const given = pending;
			pending = null;
			timer = setTimeout(tick, wait);
			fn(...given);
		}
	};
	return (...given) => {
		pending = given;
		if (timer === null) tick();
	};
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A number for people: as many decimals as its size deserves. */
export function figure(value) {
	const size = Math.abs(value);
	if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
	return size >= 1 ? value.toFixed(1) : value.toPrecision(2);
}
