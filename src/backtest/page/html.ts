/**
 * Markup that cannot be forged by a name or a note: `html` escapes every value put into it, except
 * values that `html` made itself. Attributes are always written in double quotes, so one escaping
 * serves both places.
 */
export interface Markup {
  readonly markup: string;
}

export type Part = string | number | Markup | null | readonly Part[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let markup = strings[0];
  for (let k = 0; k < parts.length; k++) markup += render(parts[k]) + strings[k + 1];
  return { markup };
}

/**
 * Text that we wrote ourselves: a style sheet, a script, a JSON block. Never a name, a note or any
 * other input.
 */
export function verbatim(markup: string): Markup {
  return { markup };
}

function render(part: Part): string {
  if (part === null) return "";
  if (Array.isArray(part)) return part.map(render).join("");
  if (typeof part === "object") return (part as Markup).markup;
  return String(part).replace(/[&<>"']/g, (character) => ENTITIES[character]);
}
