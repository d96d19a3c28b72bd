import { SECONDS } from './calls.js';
import { Theme } from './theme.js';

/** Milliseconds between two steps of a plot as it glides from second to second. */
const STEP_MS = 100;
const COLOURS = ['accent', 'second', 'line', 'text', 'muted', 'warn'];

/** All plots of the page, drawn by one loop; with reduced motion only when figures arrive. */
export class Plots {
  #plots = new Set();
  #colours = {};
  #still = matchMedia('(prefers-reduced-motion: reduce)');
  #roundAt = 0;
  #drawnAt = 0;
  #isDirty = true;
  #seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) target.isSeen = isIntersecting;
    this.#isDirty = true;
  });

  constructor() {
    this.recolour();
    const loop = (now) => {
      this.#frame(now);
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
    addEventListener('resize', () => {
      this.#isDirty = true;
    });
  }

  /** Reads the theme's colours again. */
  recolour() {
    for (const name of COLOURS) this.#colours[name] = Theme.colour(name);
    this.#isDirty = true;
  }

  /** @param {HTMLCanvasElement} canvas @param {(draw: object) => void} paint */
  add(canvas, paint) {
    const plot = { canvas, paint };
    this.#plots.add(plot);
    this.#seen.observe(canvas);
    return plot;
  }

  remove(plot) {
    this.#plots.delete(plot);
    this.#seen.unobserve(plot.canvas);
  }

  /** New figures have arrived. */
  onRound() {
    this.#roundAt = performance.now();
    this.#isDirty = true;
  }

  #frame(now) {
    const sinceMs = now - this.#roundAt;
    const glides = !this.#still.matches && sinceMs < 1_000 && now - this.#drawnAt >= STEP_MS;
    if (!this.#isDirty && !glides) return;
    this.#isDirty = false;
    this.#drawnAt = now;
    // How much of the last second is in the picture.
    const part = this.#still.matches ? 1 : Math.min(1, Math.max(0, sinceMs / 1_000));
    for (const { canvas, paint } of this.#plots) {
      if (!canvas.isSeen) continue;
      const { clientWidth: width, clientHeight: height } = canvas;
      const scale = devicePixelRatio;
      const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      const context = canvas.getContext('2d');
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, width, height);
      paint({ context, width, height, part, colours: this.#colours });
    }
  }
}

/**
 * A line of the last minute.
 * @param {() => import('./calls.js').Series | undefined} read
 * @param {(series: object) => [number, number]} range lowest and highest value
 */
export function spark(read, range, colour = 'accent') {
  return ({ context, width, height, part, colours }) => {
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, height - 0.5);
    context.lineTo(width, height - 0.5);
    context.stroke();
    const series = read();
    if (series === undefined) return;
    const [low, high] = range(series);
    const step = width / (SECONDS - 2);
    const { values } = series;
    context.strokeStyle = colours[colour];
    context.lineWidth = 1.5;
    context.lineJoin = 'round';
    context.beginPath();
    let isDown = false;
    for (let i = 0; i < SECONDS; i++) {
      const value = values[i];
      if (Number.isNaN(value)) {
        isDown = false;
        continue;
      }
      const x = width + (1 - part) * step - (SECONDS - 1 - i) * step;
      const share = Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
      const y = height - 2 - share * (height - 4);
      if (isDown) context.lineTo(x, y);
      else {
        context.moveTo(x - step, y);
        context.lineTo(x, y);
      }
      isDown = true;
    }
    context.stroke();
  };
}
