package rewrite_test

// fragments are new contents that are closed in themselves, for most places.
var fragments = []string{
	"",
	"new",
	"<p>new <b>and</b> <a href=#>more</a>",
	"<h2>new</h2><ul><li>one<li>two</ul><img src=x>",
	"<form><label><input></label><button>go</button></form>",
	"<table><tr><td>1<td>2</table>",
	"<svg viewBox='0 0 1 1'><title>x</title><path d='M0'/></svg><select><option>1<option>2</select>",
	"<style>a > b {}</style><li>new</li>",
}
