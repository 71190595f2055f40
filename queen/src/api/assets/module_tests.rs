//! What a module becomes as a function's body.

use super::module::{Module, read};

fn module(source: &str) -> Module {
    read("/views/one.js", source).unwrap()
}

#[test]
fn imports_are_asked_for_first() {
    let source = "// What it is for.\n\nimport a, { b, c as d, } from './x.js';\nimport * as all from \"../lib/y.js\";\nimport '/z.js'\nrun(a,  d); // then\n";
    let read = module(source);
    assert_eq!(read.imports, ["/views/x.js", "/lib/y.js", "/z.js"]);
    assert_eq!(
        read.body,
        "const { default: a, b, c: d } = skep$module('/views/x.js');\nconst all = skep$module('/lib/y.js');\nrun(a, d);\nreturn {  };\n"
    );
    // Lines of the source, each from its own.
    assert_eq!(read.lines[2], 6);
}

#[test]
fn exports_are_returned() {
    let read = module(
        "export const a = (x, y) => {};\nexport async function b() {}\nexport class C {}\nlet d = 1;\nexport { d, a as e };\nexport function* f() {}\nexport default class extends C {}\n(0)",
    );
    assert_eq!(read.exports, ["a", "b", "C", "d", "e", "f", "default"]);
    assert!(
        read.body.contains("const skep$default = class extends C {};\n(0)"),
        "{}",
        read.body
    );
    assert!(
        read.body
            .ends_with("return { a, b, C, d, e: a, f, default: skep$default };\n"),
        "{}",
        read.body
    );
    assert!(!read.body.contains("export"), "{}", read.body);
    let minified = module("import{options as n}from\"./p.mjs\";var t=1;export{t as useT,n as default};");
    assert_eq!(
        minified.body,
        "const { options: n } = skep$module('/views/p.mjs');\nvar t=1;\nreturn { useT: t, default: n };\n"
    );
    assert_eq!(
        module("export default function(t){}").body,
        "const skep$default = function(t){};\nreturn { default: skep$default };\n"
    );
}

#[test]
fn what_is_loaded_later_is_named_from_the_root() {
    let read =
        module("const f = () => import('./job/x.js').then((all) => all.import);\n/** @type {import('./t')} */\n");
    assert_eq!(read.later, ["/views/job/x.js"]);
    assert!(read.imports.is_empty());
    assert_eq!(
        read.body,
        "const f = () => import('/views/job/x.js').then((all) => all.import);\nreturn {  };\n"
    );
}

#[test]
fn text_stays_as_it_is() {
    let read =
        module("/*! A licence. */\nconst a = `  // one\n    /* ${ b /* gone */ } */\n  export`; const c = 'import';\n");
    assert_eq!(
        read.body,
        "/*! A licence. */\nconst a = `  // one\n    /* ${ b } */\n  export`; const c = 'import';\nreturn {  };\n"
    );
    assert_eq!(read.lines[..4], [1, 2, 3, 4]);
}

#[test]
fn what_is_not_understood_is_said_with_its_line() {
    for (source, why) in [
        (
            "\nimport x from 'preact';",
            "line 2: 'preact' is no address of this page",
        ),
        (
            "import x from '../../y.js';",
            "line 1: '../../y.js' is no address of this page",
        ),
        (
            "import a from './a.json' with { type: 'json' };",
            "line 1: imports with attributes are not understood",
        ),
        (
            "export let a = 1;",
            "line 1: constants, functions and classes can be exported; this is not understood",
        ),
        (
            "export * from './a.js';",
            "line 1: constants, functions and classes can be exported; this is not understood",
        ),
        (
            "export { a } from './a.js';",
            "line 1: what others export is imported first",
        ),
        (
            "export const { a } = b;",
            "line 1: constants are exported one by one, by their names",
        ),
        (
            "export const a = 1, b = 2;",
            "line 1: constants are exported one by one, by their names",
        ),
        (
            "export default function a() {}",
            "line 1: what has a name is exported by it",
        ),
        ("\n\nimport(a);", "line 3: a is no address of this page"),
        (
            "import('./a.js', { with: {} });",
            "line 1: what is loaded later has to be named by one string",
        ),
        ("await a;", "line 1: a module that waits cannot stand in a function"),
        ("import { a", "line 1: the module ends in mid-statement"),
        (
            "f(import.meta.url)",
            "line 1: a module that asks for its own address cannot be joined",
        ),
    ] {
        let found = read("/one.js", source);
        let said = found.unwrap_err();
        // What is not closed is found before.
        assert!(
            said == why || source == "import { a" && said == "a { is not closed",
            "{source}: {said}"
        );
    }
}
