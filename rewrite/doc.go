// Package rewrite: an HTML stream in, an HTML stream out, regions changed,
// everything else untouched to the byte. It knows no HTTP and no rules.
//
// A [Plan] names the surfaces wanted: how each is found, by a marking attribute
// (data-surface="name") or a CSS selector, and what is done with it. [Compile]
// makes a [Program] of it, which is shared; [Program.NewReader] reads one page
// with it, and [Reader.Sightings] tells what became of each surface.
//
// # Contract
//
//   - Bytes that no operation is about are those of the source, in order, for
//     any input: broken markup, NULs, no markup at all.
//   - A surface is the first element of the page, in document order, that is
//     marked or matches. Later ones stay, and are counted. Where surfaces meet on
//     one element, the first of the plan has it.
//   - A region is changed only if its end is proven. In doubt it stays as it is,
//     with a [Reason]. A wrong splice is the one unforgivable defect, a region
//     left alone is none.
//   - Whether a surface is changed or only observed (Surface.Replace), the same
//     code decides on the same content, and the sightings are the same.
//   - An error of the source is handed on after every byte that came before it,
//     and a region still open then as it was. A panic in this package loses no
//     byte either: see [Reader.Fault].
//   - Bytes that are settled are handed on before more are read. Held back are a
//     tag, or a noscript, that has not ended, and the region of an operation
//     that needs its end: at most Plan.MaxRegion of each, beyond which the page
//     flows on as it is. Texts, comments, scripts and styles of any length are
//     not. So a Reader has a buffer of 32 KiB, and where something is held, one of
//     at most about twice MaxRegion.
//   - When the last surface wanted has been met and done with, the rest of the
//     page is copied unread.
//
// # How an end is proven
//
// A machine takes tokens (13.2.5 of the standard, https://html.spec.whatwg.org)
// and drives a tree of the elements that are open (13.2.6): their names and
// order, the active formatting elements, insertion modes, the form pointer; of
// what is closed nothing is kept. It is exact or lost, never approximate.
//
// What the parser is where the region begins is copied. Nothing in the region may
// touch an element outside of it, and its own end tag, or an implied end where
// the standard lets the tag be left out, must be what closes it. Then the new
// content is given to the copy, and after it the same end tag: now the copy must
// stand exactly where the tree stands. So whatever follows is parsed as it was,
// whatever is in the region. Where the new content alone is in the way, the
// reason is [Fragment], else [Ambiguous]. As long as a frameset might take the place of
// the body (on a page without a body tag, before any text) it might take the
// region too: [Frameset].
//
// An end of the page is an end as well. Where the page's content left something
// behind that would show in what follows, Inner and Text are done all the same
// if nothing follows but the end tags of body and html. And a region that is
// still open there, though its own end tag is the last before those, has all of
// the rest for its content by the rules of the parser, and is changed.
//
// The tree is lost, and with it every surface not yet met, where the parser's
// state depends on what is not kept, or on whom one asks: on plaintext; a
// frameset; a select with more than options; a template or annotation-xml in
// foreign content; a dialog or search element that old and new parsers close
// differently; a caption that x/net/html leaves open; a noscript that isn't
// closed in itself, because a browser without scripts sees what is in it; four of
// a formatting element whose attributes may be the same; names that are not
// UTF-8; a tag longer than MaxRegion; more open elements than the package
// follows, 300, which is below where browsers stop.
//
// Browsers differ from x/net/html, the oracle of most tests, and both from
// the standard. What the difference is between Chromium and x/net/html is
// kept by name in testdata/chromium/differences.txt, which a test renews and
// compares: none may bear on a region that is changed.
//
// # Operations
//
// Before, Prepend and Attr are done at the start tag, After and Append at the
// end, without holding what is between; but for formatting elements, which the
// parser could open a second time, so their end is waited for. Inner, Outer,
// Text, Remove, Shadow and Auto hold the region. New content that does not take
// the place of other content must by itself leave the parser as it was. An
// element without content takes Before, After, Outer, Remove and Attr. Auto looks at the page up to the region's end for signs of a framework
// ([DetectFramework]).
//
// Selectors are those of package selector. They are told of each element as the
// tree puts it in, implied ones too. Where elements are moved or put in again
// by the parser, so that what a browser's selectors see is not known from what
// streamed by, a surface found afterwards is left alone.
//
// # Charsets
//
// In the order of the standard: byte order mark, Content-Type, meta within the
// first 1024 bytes, else windows-1252. On a UTF-8 page new content goes in as
// it is, on any other whose ASCII bytes are ASCII with numeric character
// references. UTF-16, ISO-2022-JP, the replacement encoding and labels unknown
// pass untouched. The meta is looked for only in what precedes the first
// region, so nothing waits for it; where the charset is not certain, an escape
// byte (it could switch to a code in which '<' is no '<') stops the rewriting.
// In the multi-byte charsets that remain (Shift_JIS, Big5, EUC, GBK, GB18030)
// no second byte is any of <>&"'=/ or white space, and a decoder gives an ASCII
// byte back after a broken sequence, so markup is found byte by byte. A surface
// name with other than ASCII characters is matched as UTF-8.
//
// # To see it work
//
// [Reader.Trace] tells token by token what a page is taken for and why a region
// is changed or left.
package rewrite
