/**
 * As much of the browser as the page's script uses, as types: the compiler's "dom" library would put
 * hundreds of names in scope of every file of this project.
 */
export interface PageElement {
  readonly style: { setProperty(name: string, value: string): void };
  readonly classList: { toggle(name: string, on: boolean): void };
  readonly dataset: Record<string, string | undefined>;
  readonly clientWidth: number;
  textContent: string | null;
  className: string;
  hidden: boolean;
  disabled: boolean;
  checked: boolean;
  readonly open: boolean;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  append(...children: (PageElement | string)[]): void;
  replaceChildren(...children: (PageElement | string)[]): void;
  getBoundingClientRect(): { left: number; width: number };
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
  showModal(): void;
  close(): void;
  focus(): void;
}
export interface PageEvent {
  readonly key?: string;
  readonly clientX?: number;
  readonly data?: string;
  preventDefault(): void;
}
export interface PageDocument {
  title: string;
  readonly documentElement: PageElement;
  getElementById(id: string): PageElement | null;
  querySelector(selector: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  createElement(name: string): PageElement;
  createElementNS(space: string, name: string): PageElement;
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
}
export interface PageWindow {
  readonly localStorage: { getItem(name: string): string | null; setItem(name: string, value: string): void };
  matchMedia(query: string): { readonly matches: boolean };
  addEventListener(kind: string, listen: () => void): void;
}
export interface PageSource {
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
  close(): void;
}
