// Charts with axes from 0 to 1.
'use strict';

const CHART = {width: 520, height: 380, left: 52, right: 12, top: 12, bottom: 44};

// Returns an SVG with axes from 0 to 1 (or from `lowest`), and functions for places.
function chart(id, xLabel, yLabel, lowest = 0) {
  const {width, height, left, right, top, bottom} = CHART;
  const x = share => left + share * (width - left - right);
  const y = share => height - bottom - (share - lowest) / (1 - lowest)
    * (height - top - bottom);
  const svg = drawn('svg', {id, viewBox: `0 0 ${width} ${height}`, width, height,
                            role: 'img', 'aria-label': `${yLabel} against ${xLabel}`});
  for (let tick = 0; tick <= 5; tick++) {
    const level = lowest + (1 - lowest) * tick / 5;
    svg.append(
      drawn('line', {x1: x(0), x2: x(1), y1: y(level), y2: y(level), stroke: FAINT}),
      drawn('text', {x: left - 8, y: y(level) + 4, 'text-anchor': 'end'},
            percent(level, 1 - lowest < 0.1 ? 1 : 0)),
      drawn('text', {x: x(tick / 5), y: height - bottom + 18, 'text-anchor': 'middle'},
            percent(tick / 5, 0)));
  }
  svg.append(
    drawn('text', {x: x(0.5), y: height - 6, 'text-anchor': 'middle'}, xLabel),
    drawn('text', {transform: `translate(13 ${y((1 + lowest) / 2)}) rotate(-90)`,
                   'text-anchor': 'middle'}, yLabel));
  return {svg, x, y};
}

function reliability() {
  const {svg, x, y} = chart('reliability-chart', 'confidence: probability of the'
    + ' prediction', 'accuracy');
  const most = data.calibration.reduce((most, bin) => Math.max(most, bin.total), 1);
  for (const bin of data.calibration) {
    const title = `confidence ${percent(bin.above, 0)} to ${percent(bin.upTo, 0)}: `
      + `${bin.percent} correct, ${count(bin.correct)} of ${imageCount(bin.total)}`;
    svg.append(
      // How many images there are, as a bar from below.
      drawn('rect', {x: x(bin.above) + 1, width: x(bin.upTo) - x(bin.above) - 2,
                     y: y(0.25 * bin.total / most), fill: GRAY, opacity: 0.35,
                     height: y(0) - y(0.25 * bin.total / most)},
            drawn('title', {}, title)),
      drawn('line', {x1: x(bin.confidence), x2: x(bin.confidence), y1: y(bin.low),
                     y2: y(bin.high), stroke: BLUE, opacity: 0.4, 'stroke-width': 4}),
      drawn('circle', {cx: x(bin.confidence), cy: y(bin.value), r: 5, fill: BLUE},
            drawn('title', {}, title)));
  }
  svg.append(drawn('line', {x1: x(0), y1: y(0), x2: x(1), y2: y(1), stroke: '#666',
                            'stroke-dasharray': '5 4'}));
  return section(
    'reliability', 'Reliability', element('p', {class: 'muted'},
      `Expected calibration error ${decimal(data.summary.calibrationError)}. Points: `
      + 'accuracy with its 95% interval. Gray bars: number of images. Dashed line:'
      + ' perfect calibration.'), svg);
}

function coverage() {
  const {coverage, accuracy, confidence, examples} = data.coverage;
  // The least accuracy, rounded down to 5%.
  const lowest = Math.min(0.95, Math.floor(20 * Math.min(...accuracy)) / 20);
  const {svg, x, y} = chart('coverage-chart', 'coverage: share of the images, most'
    + ' confident first', 'accuracy', Math.max(0, lowest));
  svg.append(drawn('polyline', {
    points: coverage.map((share, at) => `${x(share)},${y(accuracy[at])}`).join(' '),
    fill: 'none', stroke: BLUE, 'stroke-width': 2}));
  coverage.forEach((share, at) => svg.append(drawn(
    'circle', {cx: x(share), cy: y(accuracy[at]), r: 4, fill: BLUE,
               opacity: examples.includes(at) ? 1 : 0},
    drawn('title', {}, `${percent(share)} of the images, with a confidence of `
      + `${percent(confidence[at])} or more: ${percent(accuracy[at], 2)} correct`))));
  return section(
    'coverage', 'Accuracy against coverage', element('p', {class: 'muted'},
      examples.map(at => `The most confident ${percent(coverage[at])}: `
        + `${percent(accuracy[at], 2)} correct.`).join(' ')), svg);
}
