// Voxels, millimetres, texture coordinates and the directions of a patient.
//
// The volume's axes are the nearest ones to R, A, S (x grows to the patient's right, y to the front, z to the
// head). All slices are drawn in the radiological convention: the patient's right is on the left of the
// picture, the front on top of an axial slice and on the left of a sagittal one, the head on top. So both axes of
// every picture run against the screen: a larger index is further left, and further up.

/** Slices across each axis: which axes run over the picture, and the letters at its edges. */
export const PLANES = [
	{ axis: 0, name: "Sagittal", u: 1, v: 2, left: "A", right: "P", top: "S", bottom: "I" },
	{ axis: 1, name: "Coronal", u: 0, v: 2, left: "R", right: "L", top: "S", bottom: "I" },
	{ axis: 2, name: "Axial", u: 0, v: 1, left: "R", right: "L", top: "A", bottom: "P" },
];

/** The grid of the opened volume and the coarser one on which classes are worked out. */
export class Grid {
	constructor(volume) {
		this.shape = volume.shape;
		this.spacing = volume.spacing;
		this.affine = volume.affine;
		this.working = volume.working.shape;
		this.factors = volume.working.factors;
		// what the textures span: blocks of whole factors, which may end after the last voxel
		this.box = this.working.map((n, axis) => n * this.factors[axis] * this.spacing[axis]);
		this.workingSpacing = this.spacing.map((value, axis) => value * this.factors[axis]);
	}

	contains(voxel) {
		return voxel.every((value, axis) => value >= 0 && value < this.shape[axis]);
	}

	/** Index on the working grid. */
	toWorking(voxel) {
		return voxel.map((value, axis) =>
			Math.min(this.working[axis] - 1, Math.floor(value / this.factors[axis])),
		);
	}

	/** Texture coordinate 0..1 of a place (voxel i spans i..i+1). */
	toTexture(place) {
		return place.map((value, axis) => value / (this.factors[axis] * this.working[axis]));
	}

	/** Place, in voxels of the opened volume, of a texture coordinate. */
	fromTexture(point) {
		return point.map((value, axis) => value * this.factors[axis] * this.working[axis]);
	}

	/** Millimetres in RAS+ of a voxel's centre. */
	toWorld(voxel) {
		return [0, 1, 2].map(row => {
			const line = this.affine[row];
			return line[0] * voxel[0] + line[1] * voxel[1] + line[2] * voxel[2] + line[3];
		});
	}
}

/** What part of a slice a pane shows: centre in millimetres, and pixels a millimetre. */
export class SliceCamera {
	constructor(plane, grid) {
		this.plane = plane;
		this.grid = grid;
		this.zoom = 1;
		this.center = [0, 0];
		this.reset();
	}

	reset() {
		const { u, v } = this.plane;
		const { shape, spacing } = this.grid;
		this.zoom = 1;
		this.center = [(shape[u] * spacing[u]) / 2, (shape[v] * spacing[v]) / 2];
	}

	/** CSS pixels a millimetre in a pane of this size. */
	scale(width, height) {
		const { u, v } = this.plane;
		const { shape, spacing } = this.grid;
		const margin = 0.94;
		const fit = Math.min(width / (shape[u] * spacing[u]), height / (shape[v] * spacing[v]));
		return fit * margin * this.zoom;
	}

	/** Place in voxels under a point of the pane; `across` is its coordinate on the slice's own axis. */
	toPlace(x, y, width, height, across) {
		const { axis, u, v } = this.plane;
		const scale = this.scale(width, height);
		const place = [0, 0, 0];
		place[u] = (this.center[0] - (x - width / 2) / scale) / this.grid.spacing[u];
		place[v] = (this.center[1] - (y - height / 2) / scale) / this.grid.spacing[v];
		place[axis] = across;
		return place;
	}

	/** Point of the pane over a place in voxels. */
	toScreen(place, width, height) {
		const { u, v } = this.plane;
		const scale = this.scale(width, height);
		return [
			width / 2 + (this.center[0] - place[u] * this.grid.spacing[u]) * scale,
			height / 2 + (this.center[1] - place[v] * this.grid.spacing[v]) * scale,
		];
	}

	/** Zoom about a point of the pane, which keeps its place. */
	zoomAt(x, y, width, height, factor) {
		const before = this.toPlace(x, y, width, height, 0);
		this.zoom = Math.min(40, Math.max(0.3, this.zoom * factor));
		const after = this.toPlace(x, y, width, height, 0);
		const { u, v } = this.plane;
		this.center[0] += (before[u] - after[u]) * this.grid.spacing[u];
		this.center[1] += (before[v] - after[v]) * this.grid.spacing[v];
	}
}
