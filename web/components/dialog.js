// A modal dialog: the browser keeps the focus inside, and escape closes it.

import { html, useEffect, useRef } from './html.js';

export function Dialog({ title, close, children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = box.current;
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    dialog?.showModal();
    return () => {
      dialog?.close();
      before?.focus?.();
    };
  }, []);
  // A click on the dialog itself is one beside its content.
  const beside = (event) => event.target === box.current && close();
  return html`<dialog ref=${box} class="dialog" aria-labelledby="dialog-title" onClose=${close} onClick=${beside}>
    <div class="dialog-inner">
      <header><h2 id="dialog-title">${title}</h2><button class="quiet" onClick=${close} autofocus>Close</button></header>
      ${children}
    </div>
  </dialog>`;
}
