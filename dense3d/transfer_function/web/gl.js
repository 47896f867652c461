// The one WebGL2 context of the page and what WebGL makes wordy.

/** Context of a canvas, or null where the browser has none. */
export function createContext(canvas) {
	return canvas.getContext("webgl2", {
		alpha: false,
		antialias: false,
		depth: false,
		stencil: false,
		preserveDrawingBuffer: true, // panes are redrawn one by one
		powerPreference: "high-performance",
	});
}

const VERTEX = `#version 300 es
out vec2 at; // 0..1, upwards
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  gl_Position = vec4(at * 2.0 - 1.0, 0.0, 1.0);
}`;

/** A program that fills the viewport; uniforms are set by name. */
export class Program {
	constructor(gl, fragment) {
		this.gl = gl;
		this.program = gl.createProgram();
		for (const [kind, source] of [
			[gl.VERTEX_SHADER, VERTEX],
			[gl.FRAGMENT_SHADER, fragment],
		]) {
			const shader = gl.createShader(kind);
			gl.shaderSource(shader, source);
			gl.compileShader(shader);
			gl.attachShader(this.program, shader);
			this.compiled ??= [];
			this.compiled.push(shader);
		}
		gl.linkProgram(this.program);
		if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
			const logs = this.compiled.map(shader => gl.getShaderInfoLog(shader)).join("\n");
			throw new Error(`A shader does not compile: ${logs} ${gl.getProgramInfoLog(this.program)}`);
		}
		this.places = new Map();
	}

	place(name) {
		if (!this.places.has(name)) this.places.set(name, this.gl.getUniformLocation(this.program, name));
		return this.places.get(name);
	}

	use() {
		this.gl.useProgram(this.program);
		this.unit = 0;
		return this;
	}

	/** Numbers, vectors (arrays of 2..4) and booleans. */
	set(values) {
		const { gl } = this;
		for (const [name, value] of Object.entries(values)) {
			const place = this.place(name);
			if (place === null) continue;
			if (Array.isArray(value)) gl[`uniform${value.length}fv`](place, value);
			else gl.uniform1f(place, Number(value));
		}
		return this;
	}

	integer(name, value) {
		this.gl.uniform1i(this.place(name), value);
		return this;
	}

	/** Flat Float32Arrays of several numbers or vectors. */
	list(name, size, values) {
		const place = this.place(name);
		if (place !== null) this.gl[`uniform${size}fv`](place, values);
		return this;
	}

	texture(name, target, texture) {
		const { gl } = this;
		gl.activeTexture(gl.TEXTURE0 + this.unit);
		gl.bindTexture(target, texture);
		gl.uniform1i(this.place(name), this.unit);
		this.unit += 1;
		return this;
	}

	draw() {
		this.gl.drawArrays(this.gl.TRIANGLES, 0, 3);
	}
}

/** A picture to draw into, made anew when its size changes. */
export class Target {
	constructor(gl) {
		this.gl = gl;
		this.width = 0;
		this.height = 0;
		this.texture = null;
		this.frame = gl.createFramebuffer();
	}

	resize(width, height) {
		if (width === this.width && height === this.height) return;
		const { gl } = this;
		gl.deleteTexture(this.texture);
		this.texture = gl.createTexture();
		gl.bindTexture(gl.TEXTURE_2D, this.texture);
		gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
		filter(gl, gl.TEXTURE_2D, gl.LINEAR);
		gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
		gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
		gl.bindFramebuffer(gl.FRAMEBUFFER, null);
		this.width = width;
		this.height = height;
	}
}

export function filter(gl, target, kind) {
	gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, kind);
	gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, kind);
	for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
		if (target === gl.TEXTURE_3D || side !== gl.TEXTURE_WRAP_R)
			gl.texParameteri(target, side, gl.CLAMP_TO_EDGE);
	}
}

/** Resolves when the graphics processor has done what was asked of it so far; to milliseconds that took. */
export function finished(gl) {
	const start = performance.now();
	const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
	gl.flush();
	return new Promise(resolve => {
		const look = () => {
			const state = gl.isContextLost() ? gl.CONDITION_SATISFIED : gl.clientWaitSync(fence, 0, 0);
			if (state === gl.TIMEOUT_EXPIRED) {
				setTimeout(look, 2);
				return;
			}
			gl.deleteSync(fence);
			resolve(performance.now() - start);
		};
		setTimeout(look, 0);
	});
}
