// Numbers and texts for people. What comes from requests and the application is a claim: it becomes text, never markup.

const MISSING = '–';
const isNumber = value => typeof value === 'number' && Number.isFinite(value);

function round(value) {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1).replace(/\.0$/, '');
  return value.toFixed(2).replace(/\.?0+$/, '');
}

function count(value) {
  if (!isNumber(value)) return MISSING;
  return value >= 1e6 ? round(value / 1e6) + 'M' : value >= 1e4 ? round(value / 1e3) + 'k' : round(value);
}

function duration(ms) {
  if (!isNumber(ms)) return MISSING;
  if (ms === 0) return '0';
  if (ms < 1) return round(ms * 1000) + ' µs';
  if (ms < 1000) return round(ms) + ' ms';
  if (ms < 60000) return round(ms / 1000) + ' s';
  const minutes = Math.floor(ms / 60000);
  if (minutes < 60) return `${minutes} min ${Math.floor(ms / 1000) % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function bytes(value) {
  if (!isNumber(value)) return MISSING;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${round(value)} ${units[unit]}`;
}

function moment(seconds) {
  return isNumber(seconds) ? new Date(seconds * 1000).toLocaleString() : MISSING;
}

// The time alone where it is of today.
function clock(seconds) {
  if (!isNumber(seconds)) return MISSING;
  const date = new Date(seconds * 1000);
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString();
}

// Control characters, and those that turn the direction of text, would show something else than what is there.
function clean(value) {
  if (value === null || value === undefined || value === '') return MISSING;
  const text = String(value).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
  return text.length > 400 ? text.slice(0, 400) + '…' : text;
}

const list = value => (Array.isArray(value) ? value : []);

function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, attributes = {}, ...children) {
  const element = name === 'svg' || name === 'path' || name === 'line' || name === 'text'
    ? document.createElementNS('http://www.w3.org/2000/svg', name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
