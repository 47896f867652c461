// Lines, letters and marks over a slice.

import { BACKGROUND } from "./store.js";
import { css } from "./dom.js";

const TONES = ["#d9b65a", "#6fb583", "#d77a72"]; // sagittal, coronal, axial: as their headings

const LETTER = "600 12px system-ui, sans-serif";

export function drawSliceMarks(context, size, view) {
	crosshair(context, size, view);
	letters(context, size, view.plane);
	ruler(context, size, view);
	for (const prompt of view.store.server.prompts) mark(context, size, view, prompt);
	live(context, size, view);
}

function crosshair(context, size, view) {
	const { plane, store, camera } = view;
	const [x, y] = camera.toScreen(
		store.view.crosshair.map(value => value + 0.5),
		size.width,
		size.height,
	);
	const gap = 9;
	context.lineWidth = 1;
	const line = (tone, points) => {
		context.strokeStyle = tone;
		context.globalAlpha = 0.6;
		context.beginPath();
		for (const [a, b, c, d] of points) {
			context.moveTo(Math.round(a) + 0.5, Math.round(b) + 0.5);
			context.lineTo(Math.round(c) + 0.5, Math.round(d) + 0.5);
		}
		context.stroke();
		context.globalAlpha = 1;
	};
	// the upright line is where the slice across u lies
	line(TONES[plane.u], [
		[x, 0, x, y - gap],
		[x, y + gap, x, size.height],
	]);
	line(TONES[plane.v], [
		[0, y, x - gap, y],
		[x + gap, y, size.width, y],
	]);
}

function text(context, content, x, y, align) {
	context.textAlign = align;
	context.textBaseline = "middle";
	context.lineWidth = 3;
	context.strokeStyle = "rgba(8,10,13,.8)";
	context.strokeText(content, x, y);
	context.fillText(content, x, y);
}

function letters(context, { width, height }, plane) {
	context.font = LETTER;
	context.fillStyle = "#c3ccd6";
	text(context, plane.left, 12, height / 2, "center");
	text(context, plane.right, width - 22, height / 2, "center");
	text(context, plane.top, width / 2, 14, "center");
	text(context, plane.bottom, width / 2, height - 14, "center");
}

/** A bar of a round number of millimetres. */
function ruler(context, { width, height }, view) {
	const scale = view.camera.scale(width, height);
	const target = 90 / scale;
	const power = 10 ** Math.floor(Math.log10(target));
	const length = [5, 2, 1].map(part => part * power).find(value => value <= target);
	const long = length * scale;
	const y = height - 14;
	context.strokeStyle = "#aeb9c6";
	context.lineWidth = 1.5;
	context.beginPath();
	context.moveTo(12, y - 4);
	context.lineTo(12, y);
	context.lineTo(12 + long, y);
	context.lineTo(12 + long, y - 4);
	context.stroke();
	context.font = "11px system-ui, sans-serif";
	context.fillStyle = "#aeb9c6";
	text(
		context,
		length >= 10 ? `${length / 10} cm` : `${Number(length.toPrecision(2))} mm`,
		18 + long,
		y - 3,
		"left",
	);
}

/** Points, and outlines of lassos and boxes, on and near their slice. */
function mark(context, size, view, prompt) {
	const { plane, store, camera } = view;
	const here = store.view.crosshair[plane.axis];
	const color = store.describe(prompt.class)?.color ?? [200, 200, 200];
	if (prompt.kind === "point") {
		const far = Math.abs(prompt.voxels[0][plane.axis] - here);
		if (far > 3 * view.grid.factors[plane.axis]) return;
		const [x, y] = camera.toScreen(
			prompt.voxels[0].map(value => value + 0.5),
			size.width,
			size.height,
		);
		dot(context, x, y, color, prompt.positive && prompt.class !== BACKGROUND, far === 0 ? 1 : 0.35);
	} else if (prompt.kind === "lasso" && prompt.axis === plane.axis && Math.abs(prompt.index - here) < 1) {
		outline(
			context,
			prompt.polygon.map(([a, b]) => onSlice(plane, a, b)),
			size,
			camera,
			color,
			prompt.positive,
		);
	} else if (
		prompt.kind === "box" &&
		prompt.low &&
		prompt.low[plane.axis] <= here &&
		here <= prompt.high[plane.axis]
	) {
		const { u, v } = plane;
		const corners = [
			[0, 0],
			[1, 0],
			[1, 1],
			[0, 1],
		].map(([a, b]) =>
			onSlice(plane, a ? prompt.high[u] + 1 : prompt.low[u], b ? prompt.high[v] + 1 : prompt.low[v]),
		);
		outline(context, corners, size, camera, color, prompt.positive);
	} else if (prompt.kind === "stroke") {
		const near = prompt.voxels.filter(voxel => Math.abs(voxel[plane.axis] - here) < 1);
		if (near.length) path(context, near, size, camera, css(color, 0.5), 2);
	}
}

function onSlice(plane, a, b) {
	const place = [0, 0, 0];
	place[plane.u] = a;
	place[plane.v] = b;
	return place;
}

function dot(context, x, y, color, positive, alpha) {
	context.globalAlpha = alpha;
	context.beginPath();
	context.arc(x, y, 4.5, 0, 2 * Math.PI);
	context.fillStyle = positive ? css(color) : "#14181d";
	context.fill();
	context.lineWidth = 1.5;
	context.strokeStyle = positive ? "#0b0e12" : css(color);
	context.stroke();
	context.beginPath();
	context.moveTo(x - 2, y);
	context.lineTo(x + 2, y);
	if (positive) {
		context.moveTo(x, y - 2);
		context.lineTo(x, y + 2);
	}
	context.strokeStyle = positive ? "#0b0e12" : css(color);
	context.stroke();
	context.globalAlpha = 1;
}

function trace(context, places, size, camera) {
	context.beginPath();
	for (const [at, place] of places.entries()) {
		const [x, y] = camera.toScreen(place, size.width, size.height);
		if (at) context.lineTo(x, y);
		else context.moveTo(x, y);
	}
}

function outline(context, places, size, camera, color, positive) {
	trace(context, places, size, camera);
	context.closePath();
	context.setLineDash(positive ? [] : [4, 3]);
	context.lineWidth = 1.5;
	context.strokeStyle = css(color, 0.9);
	context.stroke();
	context.setLineDash([]);
}

function path(context, voxels, size, camera, style, width) {
	trace(
		context,
		voxels.map(voxel => voxel.map(value => value + 0.5)),
		size,
		camera,
	);
	context.lineJoin = context.lineCap = "round";
	context.lineWidth = width;
	context.strokeStyle = style;
	context.stroke();
}

/** What the hand is drawing right now, and the brush under the mouse. */
function live(context, size, view) {
	const { tools, store, camera, grid } = view;
	const color = store.describe(store.view.activeClass)?.color ?? [200, 200, 200];
	const radius = store.view.radius * camera.scale(size.width, size.height);
	if (tools.live?.view === view) {
		const { kind, places, positive } = tools.live;
		if (kind === "stroke") {
			trace(context, places, size, camera);
			context.lineJoin = context.lineCap = "round";
			context.lineWidth = Math.max(2, 2 * radius);
			context.strokeStyle = css(positive ? color : [20, 24, 29], 0.45);
			context.stroke();
		} else {
			outline(context, places, size, camera, color, positive);
			context.fillStyle = css(color, 0.12);
			context.fill();
		}
	}
	const hovered = tools.hovered;
	if (
		hovered?.view === view &&
		["brush", "erase"].includes(store.view.tool) &&
		grid.contains(hovered.voxel)
	) {
		const [x, y] = camera.toScreen(
			hovered.voxel.map(value => value + 0.5),
			size.width,
			size.height,
		);
		context.beginPath();
		context.arc(x, y, Math.max(2, radius), 0, 2 * Math.PI);
		context.lineWidth = 1.25;
		context.strokeStyle = store.view.tool === "erase" ? "#e8edf2" : css(color);
		context.stroke();
	}
}
