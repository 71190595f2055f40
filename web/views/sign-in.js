// Sign-in by a token. The queen answers with a cookie that no script can read; nothing of the token stays in the page.

import { usePage } from '../components/hooks.js';
import { html, useEffect, useRef, useState } from '../components/html.js';
import { Command, Notice } from '../components/parts.js';

export function SignIn({ ctx }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  usePage('Sign in');
  useEffect(() => field.current?.focus(), []);
  const enter = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await ctx.signIn(field.current?.value.trim() ?? '');
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
      field.current?.select();
    }
  };
  return html`<section class="narrow">
    <h1>Sign in</h1>
    <p>This queen asks for a token.</p>
    ${error && html`<${Notice} kind="bad" title="The token was not taken">${error}<//>`}
    <form class="fields" onSubmit=${enter}>
      <label>Token<input ref=${field} type="password" name="token" autocomplete="current-password" required /></label>
      <button class="main" disabled=${busy}>Sign in</button>
    </form>
    <p class="faint">An admin makes one on the queen's machine; the role can be read, trigger or admin:</p>
    <${Command}>queen token add --role read NAME<//>
  </section>`;
}
