// Package rewrite: an HTML stream in, an HTML stream out, marked regions
// swapped, everything else untouched to the byte. It knows no HTTP and no
// rules.
//
// A region is the inner content of a block element that carries the marking
// attribute (data-surface="name"). [NewReader] wraps a page with a [Plan] of
// the regions wanted; what became of each is told by [Reader.Sightings].
//
// # Contract
//
//   - Bytes outside the inner content of a swapped region are those of the
//     source, in order, for any input: broken markup, NULs, no markup at all.
//   - A region is swapped only if its end is proven. In doubt it stays as it
//     is, with a [Reason]. A wrong splice is the one unforgivable defect, a
//     region left alone is none.
//   - Whether a surface's content is replaced or only looked for, the same code
//     runs and the same sightings come out.
//   - An error of the source is handed on after every byte that came before it.
//     A region still open then is handed on as it was. A panic in this package
//     loses no byte either: what was received goes out, the rest follows as it is.
//   - Bytes that are settled are handed on before more are read. Held are: one
//     token (a text up to the next tag, a whole script: [MaxToken]) and one
//     region ([Plan.MaxRegion]). Beyond these the page flows on as it is.
//   - When each wanted surface was seen once, the rest is copied unread. So a
//     second element of the same name is swapped too where it comes before the
//     last wanted surface, and stays as it is where it comes after.
//
// # How an end is proven
//
// The tokenizer is that of x/net/html. Its raw bytes partition the stream. The
// tokens drive a tracker, which follows the standard's tree construction as far
// as the open elements go: implied end tags, scopes, tables, the active
// formatting elements, the form pointer. It has no tree. Whenever the standard
// would do something that it does not model, or something on which browsers or
// tokenizers disagree, the tracker is lost: from there on the page flows
// untouched and unread, and every surface not yet seen is [Untouched] with the
// reason. These are: the adoption agency moving blocks, foster-parented
// elements, HTML inside svg and math, CDATA, select with anything but options,
// a frameset that may replace the body, plaintext, a script that looks as if it
// hid its end tag, noscript content that isn't balanced (a browser without
// scripts would see it), and nesting deeper than browsers keep.
//
// Inside a region the rule is stricter: every start tag has its end tag there,
// in order, but for void elements and the optional end tags of the standard.
// Anything the parser would merely tolerate (a stray end tag, a misnested or
// unclosed element, a nested form, a, button or nobr, html, head, body, base or
// meta) leaves the region alone. The new content is held to the same rule, in
// the same place of the page; and after it the parser must stand exactly where
// it stood after the old one, so that nothing beyond the region can change.
// That includes whether a frameset could still replace the body: on a page with
// no body tag and no text before the region, both contents must rule it out, as
// any text or image does.
//
// # Charsets
//
// In the order of the standard: byte order mark, Content-Type, meta within the
// first 1024 bytes, else windows-1252. On a UTF-8 page new content goes in as
// it is, on any other whose ASCII bytes are ASCII with numeric character
// references. UTF-16, ISO-2022-JP, the replacement encoding and labels unknown
// pass untouched. The meta is looked for only in what precedes the first wanted
// region, so nothing waits for it; where the charset is not certain, an escape
// byte (it could switch to a code in which '<' is no '<') stops the rewriting.
// In the multi-byte charsets that remain (Shift_JIS, Big5, EUC, GBK, GB18030)
// no second byte is any of <>&"'=/ or white space, and a decoder gives an ASCII
// byte back after a broken sequence, so markup is found byte by byte. A surface
// name with other than ASCII characters is matched as UTF-8.
package rewrite
