// Package selector: CSS selectors, matched while a page streams by. Each start
// tag is answered for when it is met; neither a tree nor what comes later is
// needed. It knows no HTML beyond names and attributes: which elements there
// are, and how deep, is told by whoever parses the page.
//
// # What there is
//
// Of Selectors Level 4 (https://drafts.csswg.org/selectors-4/): type and
// universal selectors, classes, ids, attributes with every operator and the
// flags i and s, :not(), :is() and :where() of compound selectors, :root,
// :first-child, :nth-child(an+b), :first-of-type, :nth-of-type(an+b), the
// descendant and the child combinator, and lists of all these. Anything else is
// an [Error] of [Parse] that says why.
//
// # Differences from a browser
//
//   - The names of svg and math elements and of their attributes are matched
//     without regard to case, as all names are, and the values of an HTML
//     attribute such as type too. A browser regards their case.
//   - A list is not forgiving: what is unknown is an error within :is() as
//     elsewhere, and an empty :is() too.
//   - What CSS closes silently at the end of the text, a string, a bracket or a
//     comment, must be closed.
package selector
