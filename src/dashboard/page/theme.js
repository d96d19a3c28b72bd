/** Light or dark: the system's choice, or this browser's own. */
export class Theme {
  /** @param {HTMLSelectElement} select @param {() => void} onChange colours are others now */
  constructor(select, onChange) {
    select.value = localStorage.getItem('theme') ?? '';
    this.wear(select.value);
    select.addEventListener('change', () => {
      if (select.value === '') localStorage.removeItem('theme');
      else localStorage.setItem('theme', select.value);
      this.wear(select.value);
      onChange();
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', onChange);
  }

  /** @param {string} name light, dark, or empty text for the system's */
  wear(name) {
    if (name === '') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
  }

  /** @param {string} name of a colour of style.css */
  static colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }
}
