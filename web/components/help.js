// The help overlay: every key, and how to turn them off.

import { Dialog } from './dialog.js';
import { keys } from './hooks.js';
import { html, useState } from './html.js';

/** @type {[string, [string, string][]][]} */
const GROUPS = [
  [
    'Everywhere',
    [
      ['/', 'search: in what is shown, else everywhere'],
      ['g f', 'fleet'],
      ['g j', 'jobs'],
      ['g p', 'projects'],
      ['n', 'new job'],
      ['?', 'this help'],
      ['Esc', 'close, leave the search'],
    ],
  ],
  [
    'In a list',
    [
      ['j', 'next row'],
      ['k', 'row before'],
      ['Enter', 'open'],
    ],
  ],
  [
    'On a job',
    [
      ['f', 'next failure'],
      ['r', 'rerun the failed files'],
      ['.', 'follow the log'],
    ],
  ],
];

export function Help({ close, offers }) {
  const [on, setOn] = useState(keys.on());
  const turn = (event) => {
    keys.set(event.target.checked);
    setOn(event.target.checked);
  };
  const shown = (key) => offers || (key !== 'n' && key !== 'r');
  return html`<${Dialog} title="Keys" close=${close}>
    <div class="keys">${GROUPS.map(
      ([name, list]) => html`<section key=${name}>
        <h3>${name}</h3>
        <dl>${list
          .filter(([key]) => shown(key))
          .map(
            ([key, what]) => html`<div key=${key}>
              <dt>${key.split(' ').map((one) => html`<kbd key=${one}>${one}</kbd>`)}</dt>
              <dd>${what}</dd>
            </div>`,
          )}</dl>
      </section>`,
    )}</div>
    <label class="check"><input type="checkbox" checked=${on} onChange=${turn} /> Single keys do this on this page</label>
  <//>`;
}
