// The page of slim-zoo serve: sends a photo to the server and shows its answer.
'use strict';

const element = id => document.getElementById(id);
let model = {max_request_bytes: Infinity, explanation: ''};
let latest = 0;

function show(id, isShown) {
  element(id).hidden = !isShown;
}

function showError(text) {
  element('error').textContent = text;
  show('error', Boolean(text));
}

function make(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text || '';
  if (className) made.className = className;
  return made;
}

function percent(probability) {
  const text = (100 * probability).toFixed(2);
  return text === '0.00' && probability > 0 ? '<0.01%' : `${text}%`;
}

function swatch(colour) {
  const box = document.createElement('canvas');
  box.width = box.height = 14;
  box.className = 'swatch';
  const context = box.getContext('2d');
  context.fillStyle = colour;
  context.fillRect(0, 0, 14, 14);
  return box;
}

function rowOf(prediction) {
  const row = document.createElement('tr');
  const name = make('td', prediction.name);
  if (prediction.colour) name.prepend(swatch(prediction.colour));
  const bar = document.createElement('progress');
  bar.max = 1;
  bar.value = prediction.probability;
  const cell = document.createElement('td');
  cell.append(bar);
  row.append(name, cell, make('td', percent(prediction.probability), 'percent'));
  return row;
}

function figureOf(url, caption) {
  const figure = document.createElement('figure');
  const image = document.createElement('img');
  image.src = url;
  image.alt = caption;
  figure.append(image, make('figcaption', caption));
  return figure;
}

function showAnswer(file, answer) {
  element('name').textContent = file.name;
  element('read-as').textContent = `read as: ${answer.read_as}`;
  show('read-as', Boolean(answer.read_as));
  element('classes').replaceChildren(...answer.predictions.map(rowOf));
  const pictures = element('pictures');
  pictures.replaceChildren();
  if (answer.mask) {
    pictures.append(figureOf(answer.mask, 'the classes over the photo'));
  } else if (answer.heat) {
    const mostProbable = answer.predictions[0].name;
    pictures.append(figureOf(answer.picture, "the network's input"),
                    figureOf(answer.heat, `Grad-CAM: regions that raise the score of ${mostProbable}`));
  }
  element('explanation').textContent = model.explanation;
  show('answer', true);
}

async function answerTo(file) {
  if (file.size > model.max_request_bytes) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB, the limit is ` +
                    `${(model.max_request_bytes / 1e6).toFixed(1)} MB`);
  }
  let response;
  try {
    response = await fetch('classify', {
      method: 'POST', body: file, headers: {'Content-Type': 'application/octet-stream'}});
  } catch (error) {
    throw new Error('The server does not answer. It may have ended.');
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(`${file.name}: ${answer.error}`);
  return answer;
}

async function classify(file) {
  const number = ++latest;
  showError('');
  show('answer', false);
  show('busy', true);
  try {
    const answer = await answerTo(file);
    if (number === latest) showAnswer(file, answer);
  } catch (error) {
    if (number === latest) showError(error.message);
  }
  if (number === latest) show('busy', false);
}

function takeFiles(files) {
  if (files.length === 1) {
    classify(files[0]);
  } else {
    showError(files.length ? 'Drop one photo at a time.' : 'That is not a file.');
  }
}

function listen() {
  const drop = element('drop');
  const file = element('file');
  file.addEventListener('change', () => {
    if (file.files.length) takeFiles([...file.files]);
    file.value = '';  // So that the same file can be chosen again.
  });
  // A photo that misses the box would replace the page.
  for (const kind of ['dragover', 'drop']) {
    window.addEventListener(kind, event => event.preventDefault());
  }
  drop.addEventListener('dragover', () => drop.classList.add('over'));
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  window.addEventListener('drop', event => {
    drop.classList.remove('over');
    takeFiles([...event.dataTransfer.files]);
  });
}

async function showModel() {
  const response = await fetch('model.json');
  if (!response.ok) throw new Error((await response.json()).error);
  model = await response.json();
  const size = model.image_size ? `, ${model.image_size} x ${model.image_size} pixels` : '';
  const network = model.network ? `${model.network}${size}, ` : '';
  element('model').textContent =
      `${network}${model.num_classes} classes, from ${model.source}`;
  const address = `${location.origin}/v1/models/${model.served_name}:predict`;
  element('request').textContent =
      'printf \'{"instances": [{"b64": "%s"}]}\' "$(base64 < photo.jpg | tr -d "\\n")" \\\n' +
      `  | curl ${address} -d @-`;
  show('requests', model.has_requests);
}

listen();
showModel().catch(error => showError(error.message));
