// Three-vectors, and the camera that circles a box.

export const add = (a, b) => a.map((value, at) => value + b[at]);
export const scaled = (a, factor) => a.map(value => value * factor);
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [
	a[1] * b[2] - a[2] * b[1],
	a[2] * b[0] - a[0] * b[2],
	a[0] * b[1] - a[1] * b[0],
];
export const normalised = a => scaled(a, 1 / Math.hypot(...a));

const FIELD_OF_VIEW = (30 * Math.PI) / 180;

/**
 * Rays of a perspective camera that looks at the middle of a box of millimetres.
 *
 * Azimuth 0 looks from the front (the patient's right is on the left); growing azimuth walks to the patient's
 * left. `ray(s, t)` of screen coordinates in -1..1 (t up) starts at `eye` and runs along
 * normalise(forward + s * across + t * above).
 */
export function orbit(camera, box, aspect) {
	const azimuth = (camera.azimuth * Math.PI) / 180;
	const elevation = (camera.elevation * Math.PI) / 180;
	const away = [
		-Math.sin(azimuth) * Math.cos(elevation),
		Math.cos(azimuth) * Math.cos(elevation),
		Math.sin(elevation),
	];
	const radius = Math.hypot(...box) / 2;
	const distance = radius / Math.sin(FIELD_OF_VIEW / 2) / camera.zoom;
	const forward = scaled(away, -1);
	const right = normalised(cross(forward, [0, 0, 1]));
	const up = cross(right, forward);
	const tangent = Math.tan(FIELD_OF_VIEW / 2);
	const target = add(scaled(right, -camera.pan[0] * radius), scaled(up, -camera.pan[1] * radius));
	const eye = add(target, scaled(away, distance));
	// the smaller side of the pane sees the whole box
	const [wide, high] = aspect >= 1 ? [tangent * aspect, tangent] : [tangent, tangent / aspect];
	return {
		eye,
		forward,
		right,
		up,
		across: scaled(right, wide),
		above: scaled(up, high),
		wide,
		high,
		radius,
	};
}

/** Screen coordinates in -1..1 of a point of the box (millimetres from its middle). */
export function project(view, point) {
	const from = point.map((value, at) => value - view.eye[at]);
	const depth = dot(from, view.forward);
	return [dot(from, view.right) / depth / view.wide, dot(from, view.up) / depth / view.high, depth];
}
