// Tables whose rows are kept from one status to the next, and whose columns are sorted by buttons.
//
// A column: `title`, `value` (of a row, to sort by), `text` (of a row, to show), and the class of its cells.

class Table {
  constructor(id, caption, empty, columns, sorted = null) {
    this.columns = columns;
    this.empty = empty;
    this.sorted = sorted;
    this.rows = [];
    this.head = make('tr');
    this.body = make('tbody');
    columns.forEach((column, place) => {
      const cell = make('th', { scope: 'col', class: column.kind || '' });
      if (sorted) {
        const button = make('button', { type: 'button' }, column.title);
        button.addEventListener('click', () => this.sort(place));
        cell.append(button);
      } else {
        cell.append(column.title);
      }
      this.head.append(cell);
    });
    document.getElementById(id).append(make('caption', {}, caption), make('thead', {}, this.head), this.body);
    this.mark();
  }

  sort(place) {
    const down = this.sorted.place === place ? !this.sorted.down : this.columns[place].kind === 'number' && place > 0;
    this.sorted = { place, down };
    this.mark();
    this.fill(this.rows);
  }

  mark() {
    if (!this.sorted) return;
    [...this.head.children].forEach((cell, place) => {
      if (place !== this.sorted.place) cell.removeAttribute('aria-sort');
      else cell.setAttribute('aria-sort', this.sorted.down ? 'descending' : 'ascending');
    });
  }

  inOrder(rows) {
    if (!this.sorted) return rows;
    const { place, down } = this.sorted;
    const value = row => this.columns[place].value(row);
    const compare = (one, other) => {
      const [a, b] = [value(one), value(other)];
      // What is missing comes last, whichever way.
      if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
      if (b === null || b === undefined) return -1;
      const order = typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
      return down ? -order : order;
    };
    return [...rows].sort(compare);
  }

  fill(rows) {
    this.rows = rows;
    if (!rows.length) {
      this.body.replaceChildren(make('tr', { class: 'empty' }, make('td', { colspan: this.columns.length }, this.empty)));
      return;
    }
    if (this.body.querySelector('.empty')) this.body.replaceChildren();
    while (this.body.children.length > rows.length) this.body.lastChild.remove();
    while (this.body.children.length < rows.length) this.body.append(this.row());
    this.inOrder(rows).forEach((row, number) => {
      const cells = this.body.children[number].children;
      this.columns.forEach((column, place) => {
        show(cells[place], column.text(row));
        if (column.state) cells[place].dataset.state = column.value(row);
      });
    });
  }

  row() {
    const cells = this.columns.map((column, place) => place === 0
      ? make('th', { scope: 'row', class: column.kind || '' })
      : make('td', { class: column.kind || '' }));
    return make('tr', {}, ...cells);
  }
}
