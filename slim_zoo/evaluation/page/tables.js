// Tables that are sorted and filtered.
'use strict';

// Returns a table that its headings sort and its field filters.
// columns: {title, value(row), text(row), number: whether values are numbers,
//           cell(row): an element in place of the text}; the first one is filtered.
// maxRows: more rows are not shown, and take no time.
function sortableTable(rows, columns, sortedBy, descending, placeholder,
                       maxRows = MAX_ROWS) {
  const body = element('tbody'), shown = element('p', {class: 'muted'});
  const field = element('input', {type: 'search', placeholder,
                                  'aria-label': placeholder});
  const headings = columns.map((column, at) => element(
    'th', {scope: 'col', class: column.number ? 'number' : null},
    element('button', {type: 'button', onclick: () => sortBy(at)}, column.title)));
  let sorted = rows;

  function sortBy(at, downwards = null) {
    const before = headings[at].getAttribute('aria-sort');
    const down = downwards ?? before === 'ascending';
    headings.forEach(heading => heading.removeAttribute('aria-sort'));
    headings[at].setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const {value} = columns[at];
    sorted = rows.map(row => [value(row), row]).sort(([one], [other]) =>
      compare(one, other, down)).map(([, row]) => row);
    refresh();
  }

  function refresh() {
    const wanted = field.value.trim().toLowerCase();
    const found = wanted ? sorted.filter(
      row => columns[0].value(row).toLowerCase().includes(wanted)) : sorted;
    body.replaceChildren(...found.slice(0, maxRows).map(row => element(
      'tr', {}, ...columns.map(column => element(
        'td', {class: column.number ? 'number' : null},
        column.cell ? column.cell(row) : column.text(row))))));
    const more = found.length - maxRows;
    shown.textContent = `${count(found.length)} of ${count(rows.length)}`
      + (more > 0 ? `; ${count(more)} more rows are not shown: filter them` : '');
  }

  field.addEventListener('input', refresh);
  sortBy(sortedBy, descending);
  return element('div', {}, field, element('div', {class: 'scroll'}, element(
    'table', {class: 'sortable'}, element('thead', {}, element('tr', {}, ...headings)),
    body)), shown);
}

// Numbers that are not defined come last, whatever the direction is.
function compare(one, other, down) {
  if (one === null || other === null) return (one === null) - (other === null);
  const order = typeof one === 'string' ? one.localeCompare(other) : one - other;
  return down ? -order : order;
}

function button(text, onclick) {
  return element('button', {type: 'button', onclick}, text);
}
