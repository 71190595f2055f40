// What every component is made of: preact, htm and the hooks, by one name. Text in templates is always text.

import htm from '../vendor/htm/htm.mjs';
import { useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from '../vendor/preact/hooks.mjs';
import { Component, h, render } from '../vendor/preact/preact.mjs';

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
export { Component, render, useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState };
