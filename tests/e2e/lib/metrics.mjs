// Prometheus text, as far as it is needed here.

/** `[{ name, labels: {…}, value }]`, with helpers that sum over labels. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?\s+(\S+)/.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return {
    text,
    samples,
    /** Sum of all samples whose name matches and whose labels have these values. */
    sum(name, labels = {}) {
      const fits = (sample) => (name instanceof RegExp ? name.test(sample.name) : name === sample.name);
      const found = samples.filter((sample) => fits(sample) && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
      if (found.length === 0) throw new Error(`no metric ${name} ${JSON.stringify(labels)}`);
      return found.reduce((sum, { value }) => sum + value, 0);
    },
  };
}
