import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sheets = readdirSync(join(root, 'styles')).map((name) => [name, readFileSync(join(root, 'styles', name), 'utf8')]);
const tokens = readFileSync(join(root, 'styles/tokens.css'), 'utf8');

/** Every token as `{ light, dark }`, each `[lightness 0..1, chroma, hue in degrees]`. */
function colours() {
  const found = new Map();
  const oklch = (text) => {
    const [l, c, h] = text.split(/\s+/);
    return [Number.parseFloat(l) / 100, Number(c), Number(h)];
  };
  for (const [, name, light, dark] of tokens.matchAll(/--([\w-]+): light-dark\(oklch\(([^)]+)\), oklch\(([^)]+)\)\)/g)) {
    found.set(name, { light: oklch(light), dark: oklch(dark) });
  }
  for (const [, name, other] of tokens.matchAll(/--([\w-]+): var\(--([\w-]+)\)/g)) found.set(name, found.get(other));
  return found;
}

/** Relative luminance of a colour, by way of linear sRGB; what a screen cannot show is cut. */
function luminance([l, c, h]) {
  const a = c * Math.cos((h * Math.PI) / 180);
  const b = c * Math.sin((h * Math.PI) / 180);
  const [L, M, S] = [
    l + 0.3963377774 * a + 0.2158037573 * b,
    l - 0.1055613458 * a - 0.0638541728 * b,
    l - 0.0894841775 * a - 1.291485548 * b,
  ].map((x) => x ** 3);
  const rgb = [
    4.0767416621 * L - 3.3077115913 * M + 0.2309699292 * S,
    -1.2684380046 * L + 2.6097574011 * M - 0.3413193965 * S,
    -0.0041960863 * L - 0.7034186147 * M + 1.707614701 * S,
  ].map((x) => Math.min(1, Math.max(0, x)));
  return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
}

function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

const all = colours();
const GROUNDS = ['ground', 'raised', 'sunken'];
const states = ['passed', 'failed', 'running', 'waiting', 'flaky', 'gone'];

describe('the tokens', () => {
  it('are measured rightly', () => {
    assert.ok(Math.abs(contrast([1, 0, 0], [0, 0, 0]) - 21) < 0.01);
    assert.ok(all.size > 20);
  });

  for (const theme of ['light', 'dark']) {
    it(`text has a contrast of 4.5 on every ground, ${theme}`, () => {
      const texts = ['ink', 'faint', 'accent', ...states, ...Array.from({ length: 8 }, (_, i) => `ansi-${i}`)];
      for (const text of texts) {
        for (const ground of GROUNDS) {
          const found = contrast(all.get(text)[theme], all.get(ground)[theme]);
          assert.ok(found >= 4.5, `${text} on ${ground}: ${found.toFixed(2)}`);
        }
      }
      for (const [text, ground] of [
        ['on-accent', 'accent'],
        ['ground', 'flaky'],
      ]) {
        const found = contrast(all.get(text)[theme], all.get(ground)[theme]);
        assert.ok(found >= 4.5, `${text} on ${ground}: ${found.toFixed(2)}`);
      }
    });

    it(`edges of controls, and cells, have 3, ${theme}`, () => {
      for (const name of ['edge', 'mark', ...states]) {
        for (const ground of ['ground', 'raised']) {
          const found = contrast(all.get(name)[theme], all.get(ground)[theme]);
          assert.ok(found >= 3, `${name} on ${ground}: ${found.toFixed(2)}`);
        }
      }
    });
  }
});

describe('the sheets', () => {
  it('know four sizes of type', () => {
    for (const [name, text] of sheets) {
      for (const [, size] of text.matchAll(/font(?:-size)?: ([^;]+);/g)) {
        assert.match(size, /^(inherit|var\(--(small|text|large|title)\)(( \/ \d+px)? var\(--(sans|mono)\))?)$/, `${name}: ${size}`);
      }
    }
  });

  it('have no colour but the tokens', () => {
    for (const [name, text] of sheets) {
      if (name === 'tokens.css') continue;
      const rest = text.replaceAll('oklch(0% 0 0 / 45%)', '').replaceAll('in oklch', '');
      assert.doesNotMatch(rest, /#[0-9a-f]{3,8}\b|\brgb|\bhsl|oklch\(/i, name);
    }
  });

  it('move nothing for those who do not want it', () => {
    for (const [name, text] of sheets) {
      const still = text.replace(/@media \(prefers-reduced-motion: no-preference\) \{[\s\S]*?\n\}\n/g, '');
      assert.doesNotMatch(still, /\b(animation|transition)\b/, name);
    }
  });
});
