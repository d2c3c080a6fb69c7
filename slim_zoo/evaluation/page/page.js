// The parts of the page, from top to bottom.
'use strict';

function head() {
  const {accuracy, topk, crossEntropy, macroF1, calibrationError, unreadable
        } = data.summary;
  const tiles = [
    [accuracy.percent, `accuracy, 95% interval ${percent(accuracy.low, 2)} to `
      + percent(accuracy.high, 2), 'tile main'],
    [count(accuracy.correct), `correct of ${imageCount(accuracy.total)}`, 'tile'],
    [topk.percent, `${topk.name} accuracy`, 'tile'],
    [decimal(crossEntropy), 'cross entropy', 'tile'],
    [decimal(macroF1), 'macro F1', 'tile'],
    [decimal(calibrationError), 'expected calibration error', 'tile'],
  ];
  if (unreadable) {
    tiles.push([count(unreadable), 'unreadable, counted as mistakes', 'tile bad']);
  }
  return element(
    'header', {}, element('h1', {}, document.title),
    element('div', {class: 'facts'}, ...data.facts.map(
      ([key, value]) => element('span', {}, `${key}: ${value}`))),
    element('div', {class: 'tiles'}, ...tiles.map(([value, meaning, kind]) => element(
      'div', {class: kind}, element('b', {}, value), element('span', {}, meaning)))));
}

function comparison() {
  const other = data.comparison;
  if (!other) return null;
  const {accuracy} = data.summary, {support, correct} = data.perClass;
  const labels = support.map((_, label) => label).filter(label => support[label]);
  const gain = label => (correct[label] - other.otherCorrect[label]) / support[label];
  const disagreements = (numbers, words) => numbers.length ? element(
    'div', {}, element('h3', {}, button(`Images that are ${words}`,
                                        () => showImages(words, numbers))),
    gallery(numbers.slice(0, other.shown))) : null;
  return section(
    'comparison', 'Comparison',
    element('p', {}, `This evaluation: ${accuracy.percent}. ${other.name}: `
      + `${other.otherAccuracy.percent}. Difference: ${points(other.difference)} points, `
      + `95% interval ${points(other.low)} to ${points(other.high)}.`),
    element('p', {}, `${imageCount(other.numOnlyThis)} correct only in this `
      + `evaluation, ${count(other.numOnlyOther)} only in the other. ${other.test}: p = `
      + `${other.pValue.toPrecision(2)}.`),
    sortableTable(labels, [
      {title: 'class', value: className, text: className,
       cell: label => button(className(label), () => openClass(label))},
      {title: 'images', number: true, value: label => support[label],
       text: label => count(support[label])},
      {title: 'correct in this', number: true, value: label => correct[label],
       text: label => count(correct[label])},
      {title: 'correct in the other', number: true, value: label => other.otherCorrect[label],
       text: label => count(other.otherCorrect[label])},
      {title: 'difference in points', number: true, value: gain,
       text: label => points(gain(label))},
    ], 4, false, 'Filter classes'),
    disagreements(other.onlyThis, 'correct only in this evaluation'),
    disagreements(other.onlyOther, 'correct only in the other evaluation'));
}

function classTable() {
  const numbers = data.perClass, worst = mostConfused();
  const share = (title, values) => ({
    title, number: true, value: label => values[label],
    text: label => decimal(values[label])});
  const amount = (title, values) => ({
    title, number: true, value: label => values[label],
    text: label => count(values[label])});
  const columns = [
    {title: 'class', value: className, text: className,
     cell: label => button(className(label), () => openClass(label))},
    amount('images', numbers.support), amount('correct', numbers.correct),
    amount('predicted', numbers.predicted), share('precision', numbers.precision),
    share('recall', numbers.recall), share('F1', numbers.f1),
    {title: 'most often predicted as', value: label => worst[label]
      ? className(worst[label].predicted) : null,
     cell: label => worst[label] ? button(
       `${className(worst[label].predicted)} (${count(worst[label].images)})`,
       () => openCell(label, worst[label].predicted)) : ''},
  ];
  if (numbers.unreadable.some(Boolean)) {
    columns.push(amount('unreadable', numbers.unreadable));
  }
  return section('classes', 'Classes', sortableTable(
    data.classes.map((_, label) => label), columns, 6, false, 'Filter classes'));
}

function predictions() {
  const heat = data.hasHeat ? ' The right picture is Grad-CAM: bright regions raise the'
    + ' score of the predicted class.' : '';
  return element(
    'div', {},
    section('worst', 'Worst predictions', element(
      'p', {class: 'muted'}, data.worst.length
        ? `The ${count(data.worst.length)} mistakes with the highest probability.${heat}`
        : 'There are no mistakes among the images that could be read.'),
            gallery(data.worst, true)),
    section('uncertain', 'Least certain predictions', element(
      'p', {class: 'muted'}, 'The predictions with the lowest probability, correct or wrong.'),
            gallery(data.uncertain, true)));
}

function labelErrors() {
  const {number, total, shown} = data.labelErrors;
  const toClass = at => `may be ${className(data.labelErrors.class[at])}`;
  return section(
    'label-errors', 'Suspected label errors',
    element('p', {class: 'muted'}, total
      ? 'For each of these images, the network gives another class at least the mean'
        + ' probability of the images of that class (confident learning). Check them:'
        + ' the network may be wrong. The list is useful only if the network was not'
        + ' trained on these images.'
      : 'There are no suspected label errors.'),
    total ? element('p', {}, button(`All ${imageCount(number.length)}`
      + (number.length < total ? ` of ${count(total)}` : ''),
      () => showImages('Suspected label errors', number))) : null,
    element('div', {class: 'gallery'}, ...number.slice(0, shown).map((one, at) => card(
      one, false, element('div', {class: 'muted'}, toClass(at))))));
}

function nearDuplicates() {
  const found = data.nearDuplicates;
  if (!found) return null;
  const pair = one => {
    const index = indexOf.get(one.number), known = data.pictures[one.number];
    const side = (source, heading, label, where) => element(
      'figure', {}, source ? picture(source, where) : 'no picture',
      element('figcaption', {title: where}, `${heading}: ${className(label)}`));
    return element(
      'div', {class: 'card wide'},
      element('div', {class: 'row'},
              side(known && known.source, 'here', images.label[index],
                   place(one.number)),
              side(one.source, found.split, one.label, one.record)),
      element('div', {}, `agreement ${decimal(one.agreement)}, similarity `
        + decimal(one.similarity)),
      element('div', {class: 'place'}, `${place(one.number)}; ${one.record}`));
  };
  const rows = found.pairs.slice(found.shown);
  return section(
    'near-duplicates', `Near-duplicates in ${found.split}`,
    element('p', {}, `${count(found.total)} of ${imageCount(found.images)} are nearly`
      + ` the same as one of the ${count(found.others)} images of ${found.split}: their`
      + ` pixels agree by ${found.threshold} or more.`),
    element('p', {class: 'muted'}, 'The features of the network find the most similar'
      + ' image; the similarity is the cosine of the features, without their mean. The'
      + ' agreement is the correlation of 32 x 32 gray pixels, or of the mirrored'
      + ' image. Pairs that agree come first. Cropped copies may be among the others.'),
    element('div', {class: 'gallery'}, ...found.pairs.slice(0, found.shown).map(pair)),
    rows.length ? sortableTable(rows, [
      {title: 'image', value: one => place(one.number), text: one => place(one.number)},
      {title: `most similar in ${found.split}`, value: one => one.record,
       text: one => one.record},
      {title: 'agreement', number: true, value: one => one.agreement,
       text: one => decimal(one.agreement)},
      {title: 'similarity', number: true, value: one => one.similarity,
       text: one => decimal(one.similarity)},
    ], 2, true, 'Filter images') : null);
}

function notes() {
  return section('notes', 'Left out of this page', element(
    'ul', {}, ...data.notes.map(note => element('li', {}, note))));
}

function build() {
  const parts = [comparison(), classTable(), confusion(), predictions(),
                 element('div', {class: 'charts'}, reliability(), coverage()),
                 labelErrors(), nearDuplicates(), notes()].filter(Boolean);
  const page = document.getElementById('page');
  page.replaceChildren(head(), element('nav'), ...parts);
  page.querySelector('nav').append(...[...page.querySelectorAll('section')].map(
    part => element('a', {href: `#${part.id}`}, part.querySelector('h2').textContent)));
  const dialog = document.getElementById('opened');
  dialog.querySelector('.close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', event => {
    if (event.target === dialog) dialog.close();
  });
}

build();
