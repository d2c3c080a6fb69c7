// The data of the page, elements, and texts. All names become texts, never HTML.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const images = data.images;
const indexOf = new Map(images.number.map((number, index) => [number, index]));
const MAX_ROWS = 2000;        // Of a table.
const MAX_WITH_NAMES = 40;    // Classes of a confusion matrix with a cell for each pair.
const BLUE = '#0072b2', VERMILION = '#d55e00', GRAY = '#9a9a9a', FAINT = '#e4e4e4';

// Returns an element with attributes and children: elements, texts, or null.
function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes,
              children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') made.addEventListener('click', value);
    else if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

function count(number) {
  return number.toLocaleString('en-US');
}

function imageCount(number) {
  return `${count(number)} image${number === 1 ? '' : 's'}`;
}

function percent(share, digits = 1) {
  return share === null ? '-' : `${(100 * share).toFixed(digits)}%`;
}

function decimal(value, digits = 3) {
  return value === null ? '-' : value.toFixed(digits);
}

function points(share) {
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)}`;
}

function className(label) {
  return label < 0 ? 'unreadable' : data.classes[label];
}

function shortened(name, length) {
  return name.length > length ? `${name.slice(0, length - 1)}…` : name;
}

// Returns the place of an image: its record, found by the run that it is in.
function place(number) {
  let low = 0, high = data.records.runs.length;
  if (!high) return `image ${number}`;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (data.records.runs[middle][0] <= number) low = middle; else high = middle;
  }
  const [first, file, position] = data.records.runs[low];
  return `record ${position + number - first} of ${data.records.files[file]}`;
}

function section(id, title, ...children) {
  return element('section', {id}, element('h2', {}, title), ...children);
}
