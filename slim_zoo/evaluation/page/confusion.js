// The confusion matrix, whose cells open their images.
'use strict';

function mostConfused() {
  const worst = [];
  for (const pair of confusedPairs()) {
    if (!worst[pair.true] || worst[pair.true].images < pair.images) {
      worst[pair.true] = pair;
    }
  }
  return worst;
}

function confusedPairs() {
  const {cells} = data;
  return cells.true.map((label, at) => ({
    true: label, predicted: cells.predicted[at], images: cells.images[at],
  })).filter(pair => pair.true !== pair.predicted);
}

function confusion() {
  const pairs = confusedPairs();
  const name = pair => `${className(pair.true)} → ${className(pair.predicted)}`;
  return section(
    'confusion', 'Confusion matrix',
    element('p', {class: 'muted'}, 'Choose a cell or a pair to see its images.'),
    element('div', {class: 'confusion'},
            data.classes.length > MAX_WITH_NAMES ? dots(pairs) : matrix(),
            element('div', {class: 'pairs'}, sortableTable(pairs, [
              {title: 'true → predicted', value: name, text: name,
               cell: pair => button(name(pair),
                                    () => openCell(pair.true, pair.predicted))},
              {title: 'images', number: true, value: pair => pair.images,
               text: pair => count(pair.images)},
            ], 1, true, 'Filter pairs of classes', 300))));
}

// Few classes: a table with a button in each cell that is not 0.
function matrix() {
  const {cells, classes} = data, {support} = data.perClass;
  const filled = new Map(cells.true.map((label, at) => [
    label * classes.length + cells.predicted[at], cells.images[at]]));
  const cell = (label, predicted) => {
    const number = filled.get(label * classes.length + predicted);
    if (!number) return element('td');
    const share = number / support[label], isRight = label === predicted;
    const opacity = isRight ? share : Math.sqrt(share);
    const made = element(
      'td', {class: opacity > 0.6 ? 'dark' : null,
             title: `${className(label)} → ${className(predicted)}`},
      button(count(number), () => openCell(label, predicted)));
    made.style.background = `rgb(${isRight ? '0 114 178' : '213 94 0'} / ${opacity})`;
    return made;
  };
  const labels = classes.map((_, label) => label);
  return element('div', {class: 'matrix'}, element(
    'table', {}, element('caption', {class: 'muted'}, 'rows: true, columns: predicted'),
    element('thead', {}, element('tr', {}, element('th'), ...labels.map(
      label => element('th', {scope: 'col', title: className(label)},
                       shortened(className(label), 16))))),
    element('tbody', {}, ...labels.map(label => element(
      'tr', {}, element('th', {scope: 'row', title: className(label)},
                        shortened(className(label), 22)),
      ...labels.map(predicted => cell(label, predicted)))))));
}

// Many classes: a dot for each pair of classes that are confused.
function dots(pairs) {
  const side = 620, scale = side / data.classes.length;
  const canvas = element('canvas', {'aria-label': 'Confusion matrix'});
  const pointed = element('div', {class: 'pointed muted'});
  const sharpness = window.devicePixelRatio || 1;
  canvas.width = canvas.height = side * sharpness;
  canvas.style.width = canvas.style.height = `${side}px`;
  const context = canvas.getContext('2d');
  context.scale(sharpness, sharpness);
  context.strokeStyle = BLUE;
  context.beginPath();
  context.moveTo(0, 0);
  context.lineTo(side, side);
  context.stroke();
  context.fillStyle = VERMILION;
  const most = pairs.reduce((most, pair) => Math.max(most, pair.images), 1);
  for (const pair of pairs) {
    // The area of a dot is the number of images.
    const size = Math.max(1.2, 7 * Math.sqrt(pair.images / most));
    context.globalAlpha = 0.35 + 0.4 * pair.images / most;
    context.fillRect((pair.predicted + 0.5) * scale - size / 2,
                     (pair.true + 0.5) * scale - size / 2, size, size);
  }
  const nearest = event => {
    let found = null, least = 8 ** 2;
    for (const pair of pairs) {
      const distance = ((pair.predicted + 0.5) * scale - event.offsetX) ** 2
        + ((pair.true + 0.5) * scale - event.offsetY) ** 2;
      if (distance < least) [found, least] = [pair, distance];
    }
    return found;
  };
  canvas.addEventListener('mousemove', event => {
    const pair = nearest(event);
    pointed.textContent = pair ? `${className(pair.true)} → `
      + `${className(pair.predicted)}: ${imageCount(pair.images)}` : '';
  });
  canvas.addEventListener('click', event => {
    const pair = nearest(event);
    if (pair) openCell(pair.true, pair.predicted);
  });
  return element('div', {}, canvas, pointed, element(
    'div', {class: 'muted'}, 'rows: true, columns: predicted; a larger dot is more'
      + ' images'));
}
