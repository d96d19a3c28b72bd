/** Light or dark: as the system, or as chosen in this browser. */
export class Theme {
  /** @param {HTMLSelectElement} select @param {() => void} onChange called when colours change */
  constructor(select, onChange) {
    select.value = localStorage.getItem('theme') ?? '';
    this.apply(select.value);
    select.addEventListener('change', () => {
      if (select.value === '') localStorage.removeItem('theme');
      else localStorage.setItem('theme', select.value);
      this.apply(select.value);
      onChange();
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', onChange);
  }

  /** @param {string} name light, dark, or empty text for the system's */
  apply(name) {
    if (name === '') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
  }

  /** @param {string} name of a colour of style.css */
  static colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }
}
