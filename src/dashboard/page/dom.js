/** @param {string} id */
export const at = (id) => document.getElementById(id);

/** Only what changed: the browser need not lay out the rest again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * An element with properties and children.
 * @param {string} name
 * @param {object} [properties] such as `className`; `data` holds data attributes
 * @param {(Node | string)[]} children
 */
export function make(name, { data = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/** Marks a figure as `good`, `warn` or `bad`. */
export function setLevel(element, is) {
  if (element.dataset.is !== is) element.dataset.is = is;
}

/**
 * Fills a list of terms, without those that have no value.
 * @param {[term: string, value: unknown, className?: string][]} facts
 */
export function fillFacts(list, facts) {
  const wanted = facts.filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = JSON.stringify(wanted);
  if (list.facts === text) return;
  list.facts = text;
  list.replaceChildren(
    ...wanted.map(([term, value, className = '']) =>
      make(
        'div',
        { className },
        make('dt', { textContent: term }),
        make('dd', { className, textContent: String(value) }),
      ),
    ),
  );
}
