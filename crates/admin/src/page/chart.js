// Line charts of the last ten minutes. Each point covers the time since the one before, so it is drawn as that long.
//
// A series: `name`, `class`, and `value` of a point, null where there is none.

const WINDOW_MS = 600000;

class Chart {
  constructor(parent, title, format, series, isOptional = false) {
    const id = `chart-${parent.children.length}`;
    this.format = format;
    this.isOptional = isOptional;
    this.series = series;
    this.caption = make('figcaption', { id: `${id}-text` });
    this.svg = make('svg', { role: 'img', 'aria-labelledby': `${id}-title ${id}-text` });
    const legend = make('ul', { class: 'legend' });
    if (series.length > 1) {
      for (const one of series) {
        const stroke = make('svg', { viewBox: '0 0 26 10', 'aria-hidden': 'true' }, make('path', { class: one.class, d: 'M0 5H26' }));
        legend.append(make('li', {}, stroke, one.name));
      }
    }
    this.figure = make('figure', {}, make('h3', { id: `${id}-title` }, title), legend, this.svg, this.caption);
    parent.append(this.figure);
  }

  draw(points, now) {
    const width = Math.max(200, this.svg.clientWidth), height = Math.max(100, this.svg.clientHeight);
    const [left, right, top, bottom] = [52, 8, 10, 20];
    let highest = 0;
    for (const point of points) for (const one of this.series) highest = Math.max(highest, one.value(point) || 0);
    const most = this.format === bytes ? ceilingOfBytes(highest) : ceiling(highest);
    const x = at => left + (width - left - right) * Math.min(1, Math.max(0, 1 - (now - at) / WINDOW_MS));
    const y = value => top + (height - top - bottom) * (1 - value / most);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const place = y(most * share);
      parts.push(make('line', { class: 'grid', x1: left, x2: width - right, y1: place, y2: place }));
      parts.push(make('text', { x: left - 6, y: place + 4, 'text-anchor': 'end' }, this.format(most * share)));
    }
    for (const [minutes, anchor] of [[10, 'start'], [5, 'middle'], [0, 'end']]) {
      const text = minutes ? `${minutes} min ago` : 'now';
      parts.push(make('text', { x: x(now - minutes * 60000), y: height - 5, 'text-anchor': anchor }, text));
    }
    for (const one of this.series) parts.push(make('path', { class: one.class, d: line(points, one.value, x, y) }));
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.replaceChildren(...parts);
    // What the server does not measure is no chart.
    this.figure.hidden = this.isOptional && !points.some(point => this.series.some(one => isNumber(one.value(point))));
  }

  // Not at each point: it is what a screen reader reads.
  tell(points) {
    const told = this.series.map(({ name, value }) => {
      const values = points.map(value).filter(isNumber);
      if (!values.length) return `${name}: nothing was counted`;
      return `${name}: ${this.format(values[values.length - 1])} at last, at most ${this.format(Math.max(...values))}`;
    });
    show(this.caption, told.join('; ') + '.');
  }
}

// 1, 2 or 4 times a power of ten: half of it is a plain number as well.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 10].map(step => step * power).find(step => step >= value) || value;
}

// A power of two or half as much again: it and half of it are plain numbers of KiB, MiB and so on.
function ceilingOfBytes(value) {
  if (!(value > 1)) return 1024;
  const power = 2 ** Math.floor(Math.log2(value));
  return [1, 1.5, 2].map(step => step * power).find(step => step >= value);
}

function line(points, value, x, y) {
  let path = '', end = null;
  for (const point of points) {
    const height = value(point);
    if (!isNumber(height)) {
      end = null;
      continue;
    }
    const begin = point.at_ms - point.span_ms;
    const joins = end !== null && begin - end < 1500;
    path += `${joins ? 'L' : 'M'}${x(joins ? end : begin).toFixed(1)} ${y(height).toFixed(1)}H${x(point.at_ms).toFixed(1)}`;
    end = point.at_ms;
  }
  return path;
}
