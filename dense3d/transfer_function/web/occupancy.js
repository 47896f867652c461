// Which bricks of 8^3 voxels a ray has to look into, and how far it may jump from the others.
//
// Per brick: the range of the volume and the largest score of each class, one voxel around included, since
// linear filtering reaches there. From these few numbers what is occupied follows anew whenever a slider
// moves, without touching a voxel.

export const BRICK = 8;

export class Bricks {
	constructor(shape) {
		this.shape = shape;
		this.size = shape.map(n => Math.ceil(n / BRICK));
		this.count = this.size[0] * this.size[1] * this.size[2];
		this.scores = []; // by slot of a class: Uint8Array of largest scores
		this.clearVolume();
	}

	clearVolume() {
		this.low = new Uint8Array(this.count).fill(255); // high bytes
		this.high = new Uint8Array(this.count);
	}

	/** Bricks along an axis whose reach of one voxel around holds this index. */
	reach(index, axis) {
		const own = index >> 3;
		const found = [own];
		if ((index & 7) === 0 && own > 0) found.push(own - 1);
		if ((index & 7) === 7 && own + 1 < this.size[axis]) found.push(own + 1);
		return found;
	}

	/** Calls visit(offset of a brick's first one along x) for all rows of bricks near a row of voxels. */
	rows(y, z, visit) {
		const [nx, ny] = this.size;
		for (const bz of this.reach(z, 2)) {
			for (const by of this.reach(y, 1)) visit(nx * (by + ny * bz));
		}
	}

	addVolume(values, fromZ, toZ) {
		const [x, y] = this.shape;
		const nx = this.size[0];
		const low = new Uint8Array(nx);
		const high = new Uint8Array(nx);
		for (let k = fromZ; k < toZ; k++) {
			for (let j = 0; j < y; j++) {
				const row = x * (j + y * k);
				for (let b = 0; b < nx; b++) {
					const end = Math.min(x, b * BRICK + BRICK + 1);
					let least = 65535;
					let most = 0;
					for (let i = Math.max(0, b * BRICK - 1); i < end; i++) {
						const value = values[row + i];
						if (value < least) least = value;
						if (value > most) most = value;
					}
					low[b] = least >> 8;
					high[b] = most >> 8;
				}
				this.rows(j, k, at => {
					for (let b = 0; b < nx; b++) {
						if (low[b] < this.low[at + b]) this.low[at + b] = low[b];
						if (high[b] > this.high[at + b]) this.high[at + b] = high[b];
					}
				});
			}
		}
	}

	addGroup() {
		for (let c = 0; c < 4; c++) this.scores.push(new Uint8Array(this.count));
	}

	addMap(group, data, fromZ, toZ) {
		const [x, y] = this.shape;
		const nx = this.size[0];
		const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
		const most = new Uint8Array(nx * 4);
		for (let k = fromZ; k < toZ; k++) {
			for (let j = 0; j < y; j++) {
				const row = x * (j + y * k);
				let any = 0;
				most.fill(0);
				for (let b = 0; b < nx; b++) {
					const end = Math.min(x, b * BRICK + BRICK + 1);
					for (let i = Math.max(0, b * BRICK - 1); i < end; i++) {
						const word = words[row + i];
						if (word === 0) continue;
						any = 1;
						for (let c = 0; c < 4; c++) {
							const score = (word >>> (8 * c)) & 255;
							if (score > most[4 * b + c]) most[4 * b + c] = score;
						}
					}
				}
				if (!any) continue;
				this.rows(j, k, at => {
					for (let b = 0; b < nx; b++) {
						for (let c = 0; c < 4; c++) {
							const map = this.scores[4 * group + c];
							if (most[4 * b + c] > map[at + b]) map[at + b] = most[4 * b + c];
						}
					}
				});
			}
		}
	}

	/**
	 * Two bytes a brick, x fastest: Chebyshev distance in bricks to the next one with something to be seen, 0
	 * where there is something; and what a ray has to look at there: bit 0 the volume, bit 1 + g the classes
	 * of group g.
	 *
	 * opacity: 256 numbers over the range of the volume; levels: by slot, {level: 0..255, visible}, or null.
	 */
	contents(opacity, levels) {
		const before = new Uint16Array(257);
		for (let at = 0; at < 256; at++) before[at + 1] = before[at] + (opacity[at] > 0 ? 1 : 0);
		const distance = new Uint8Array(this.count);
		const bits = new Uint8Array(this.count);
		for (let b = 0; b < this.count; b++) {
			// one bin more on both sides: the table is filtered too
			const seen = before[Math.min(256, this.high[b] + 2)] - before[Math.max(0, this.low[b] - 1)] > 0;
			distance[b] = seen ? 0 : 255;
			bits[b] = seen ? 1 : 0;
		}
		for (const [slot, one] of levels.entries()) {
			const map = this.scores[slot];
			if (!map || !one) continue;
			const bit = 2 << Math.min(6, slot >> 2); // the last bit stands for all groups that are left
			for (let b = 0; b < this.count; b++) {
				if (map[b] <= one.level) continue;
				bits[b] |= bit;
				if (one.visible) distance[b] = 0;
			}
		}
		this.spread(distance);
		const both = new Uint8Array(2 * this.count);
		for (let b = 0; b < this.count; b++) {
			both[2 * b] = distance[b];
			both[2 * b + 1] = bits[b];
		}
		return both;
	}

	spread(out) {
		const [nx, ny, nz] = this.size;
		const sweep = sign => {
			for (let n = 0; n < nz; n++) {
				const z = sign > 0 ? n : nz - 1 - n;
				for (let m = 0; m < ny; m++) {
					const y = sign > 0 ? m : ny - 1 - m;
					for (let l = 0; l < nx; l++) {
						const x = sign > 0 ? l : nx - 1 - l;
						const at = x + nx * (y + ny * z);
						let least = out[at];
						if (least === 0) continue;
						// the 13 neighbours that this sweep has already passed
						for (let dz = -1; dz <= 0; dz++) {
							for (let dy = -1; dy <= (dz ? 1 : 0); dy++) {
								for (let dx = -1; dx <= (dz || dy ? 1 : -1); dx++) {
									const X = x + sign * dx;
									const Y = y + sign * dy;
									const Z = z + sign * dz;
									if (X < 0 || Y < 0 || Z < 0 || X >= nx || Y >= ny || Z >= nz) continue;
									const near = out[X + nx * (Y + ny * Z)] + 1;
									if (near < least) least = near;
								}
							}
						}
						out[at] = least;
					}
				}
			}
		};
		sweep(1);
		sweep(-1);
	}
}
