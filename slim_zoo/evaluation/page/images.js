// Cards of images, and the dialog with the images of a cell.
'use strict';

function picture(source, title) {
  const made = element('img', {src: source, alt: '', title, loading: 'lazy'});
  made.addEventListener('load', () => {
    if (Math.max(made.naturalWidth, made.naturalHeight) <= 64) made.classList.add('tiny');
  });
  return made;
}

// Returns an image with its classes; lines are added below them.
function card(number, withHeat = false, ...lines) {
  const index = indexOf.get(number), known = data.pictures[number];
  const label = images.label[index], prediction = images.prediction[index];
  const heat = withHeat && known && known.heat;
  const top = known ? known.top.map(([one, probability]) =>
    `${className(one)} ${percent(probability)}`).join('\n') : '';
  return element(
    'div', {class: heat ? 'card wide' : 'card'},
    element('div', {class: 'row'},
            known ? picture(known.source, top) : element('div', {}, 'no picture'),
            heat ? picture(known.heat, 'Grad-CAM') : null),
    element('div', {}, className(label)),
    element('div', {class: label === prediction ? 'right' : 'wrong'},
            `→ ${className(prediction)} ${percent(images.probability[index])}`),
    ...lines,
    element('div', {class: 'place', title: place(number)},
            known && known.name ? known.name : place(number)));
}

function gallery(numbers, withHeat = false) {
  return element('div', {class: 'gallery'},
                 ...numbers.map(number => card(number, withHeat)));
}

// Opens the images of a cell, of a class or of a list.
function showImages(title, numbers) {
  const dialog = document.getElementById('opened');
  const pictured = numbers.filter(number => data.pictures[number]);
  const others = numbers.filter(number => !data.pictures[number]);
  const rows = others.slice(0, MAX_ROWS).map(number => {
    const index = indexOf.get(number);
    return element('tr', {}, ...[
      place(number), className(images.label[index]),
      className(images.prediction[index]), percent(images.probability[index]),
    ].map(text => element('td', {}, text)));
  });
  const more = others.length - rows.length;
  dialog.querySelector('h2').textContent = `${title}: ${imageCount(numbers.length)}`;
  dialog.querySelector('.content').replaceChildren(
    gallery(pictured),
    rows.length ? element('table', {}, element('thead', {}, element(
      'tr', {}, ...['without a picture', 'true', 'predicted', 'probability'].map(
        heading => element('th', {}, heading)))), element('tbody', {}, ...rows)) : '',
    more > 0 ? element('p', {}, `${count(more)} more are in predictions.csv.`) : '');
  dialog.showModal();
}

function numbersOf(accepts) {
  return images.number.filter((_, index) => accepts(
    images.label[index], images.prediction[index]));
}

function openCell(label, prediction) {
  showImages(`${className(label)} → ${className(prediction)}`, numbersOf(
    (one, other) => one === label && other === prediction));
}

function openClass(label) {
  showImages(className(label), numbersOf(one => one === label));
}
