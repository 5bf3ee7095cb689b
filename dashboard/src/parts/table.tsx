import type { ComponentChildren } from "preact";

export interface Column<Row> {
  head: string;
  cell: (row: Row) => ComponentChildren;
  /** Figures stand on the right. */
  figure?: boolean;
  /** Takes what room is left. */
  wide?: boolean;
}

interface Props<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  id: (row: Row, index: number) => string | number;
  mark?: (row: Row) => boolean;
}

/** A table; on a phone each row becomes a block with the heads as labels. */
export function Table<Row>({ label, columns, rows, id, mark }: Props<Row>) {
  return (
    <table class="table">
      <caption class="hidden">{label}</caption>
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={column.head} scope="col" class={column.figure ? "right" : ""}>
              {column.head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, index) => (
          <tr key={id(row, index)} class={mark?.(row) ? "marked" : ""}>
            {columns.map((column) => (
              <td
                key={column.head}
                data-head={column.head}
                class={`${column.figure ? "right" : ""} ${column.wide ? "wide" : ""}`}
              >
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
