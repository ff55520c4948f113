/** Reads the text format of Prometheus, as far as the gateway writes it. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export type Metrics = Sample[];

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export function parseMetrics(text: string): Metrics {
  const out: Metrics = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (!match) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(LABEL))
      labels[name!] = value!.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
    const value = match[3] === "+Inf" ? Infinity : Number(match[3]);
    if (!Number.isNaN(value)) out.push({ name: match[1]!, labels, value });
  }
  return out;
}

export function sum(metrics: Metrics, name: string): number {
  return metrics.reduce((total, one) => (one.name === name ? total + one.value : total), 0);
}

export function sumBy(metrics: Metrics, name: string, label: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const one of metrics) {
    const key = one.labels[label];
    if (one.name === name && key !== undefined) out.set(key, (out.get(key) ?? 0) + one.value);
  }
  return out;
}

/** The value of one sample; null where there is none. */
export function value(metrics: Metrics, name: string, labels: Record<string, string>): number | null {
  const found = metrics.find(
    (one) => one.name === name && Object.entries(labels).every(([key, wanted]) => one.labels[key] === wanted),
  );
  return found ? found.value : null;
}
