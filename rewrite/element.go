package rewrite

// A nameKey is a tag's name in lower case: packed if it has at most eight
// bytes, else a hash of it. The first byte of a packed name is a letter, that of
// a hash is not, so the two never meet.
type nameKey uint64

// keyOf gives the key of a tag's name in any case.
func keyOf(name []byte) nameKey {
	if len(name) <= 8 {
		var k nameKey
		for i, c := range name {
			if c == 0 {
				return longKey(name) // a NUL must not pass for an absent byte
			}
			k |= nameKey(lower(c)) << (8 * i)
		}
		return k
	}
	return longKey(name)
}

// longKey is FNV-1a over the name in lower case, as 56 bits beside a byte that
// no packed name begins with.
func longKey(name []byte) nameKey {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(lower(c))) * 1099511628211
	}
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return nameKey(h<<8 | 1<<63 | 1) // eight bytes long, so never taken for one that skim compares
}

func lower(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

// A kind is an element that tree construction knows by name. All others are
// kindOther.
type kind uint8

// props are what tree construction asks of a kind.
type props uint16

const (
	special    props = 1 << iota // the standard's category, 13.2.4.2
	formatting                   // the same
	scoping                      // no search among the open elements crosses it
	implied                      // "generate implied end tags", 13.2.6.3
	optional                     // its end tag may be left out, 13.1.2.4
	breakout                     // its start tag ends foreign content, 13.2.6.5
	empty                        // it has no content
	rawText                      // the tokenizer leaves the data state
	plainEnd                     // where the element is the current node, its end tag only pops it
	fosters                      // table, tbody, tfoot, thead, tr: what doesn't belong is put before the table
	textPoint                    // a MathML text integration point
	htmlPoint                    // an HTML integration point
	annotation                   // annotation-xml that is none
)

const (
	kindOther kind = iota
	// Containers without rules of their own, which foreign content does not hold.
	kindRuby
	kindSpan
	kindSub
	kindSup
	kindVar
	// Blocks: they end a p.
	kindBlock // address, article, aside and so on
	kindDiv
	kindOl
	kindUl
	kindDialog
	kindSearch
	kindP
	kindHeading
	kindPre
	kindListing
	kindForm
	kindLi
	kindDd
	kindDt
	kindPlaintext
	kindButton
	// Formatting.
	kindA
	kindNobr
	kindFont
	kindFormat // b, i and so on
	kindMarked // applet, marquee, object: a marker in the list of active formatting elements
	// Without content.
	kindVoid // area, br, embed and so on
	kindBr
	kindImage
	kindInput
	kindParam // param, source, track
	kindHr
	kindMeta // base, basefont, bgsound, link, meta
	kindFrame
	kindCol
	// Text modes.
	kindTitle
	kindTextarea
	kindStyle
	kindScript
	kindXmp
	kindIframe
	kindNoembed
	kindNoframes
	kindNoscript
	// Forms.
	kindSelect
	kindOption
	kindOptgroup
	kindRb
	kindRtc
	kindRp
	kindRt
	// Foreign content.
	kindMath
	kindSVG
	// Tables.
	kindTable
	kindCaption
	kindColgroup
	kindTbody // tbody, tfoot, thead
	kindTr
	kindTd // td, th
	// The page.
	kindHTML
	kindHead
	kindBody
	kindFrameset
	kindTemplate
	kindCount
)

var kindProps = [kindCount]props{
	kindOther: plainEnd, kindRuby: breakout | plainEnd, kindSpan: breakout | plainEnd, kindSub: breakout | plainEnd,
	kindSup: breakout | plainEnd, kindVar: breakout | plainEnd,
	kindBlock: special | plainEnd, kindDiv: special | breakout | plainEnd, kindOl: special | breakout | plainEnd,
	kindUl: special | breakout | plainEnd, kindDialog: special | plainEnd, kindSearch: special | plainEnd,
	kindP: special | implied | optional | breakout, kindHeading: special | breakout | plainEnd, kindPre: special | breakout | plainEnd,
	kindListing: special | breakout | plainEnd, kindForm: special, kindLi: special | implied | optional | breakout | plainEnd,
	kindDd: special | implied | optional | breakout | plainEnd, kindDt: special | implied | optional | breakout | plainEnd,
	kindPlaintext: special, kindButton: special | plainEnd,
	kindA: formatting, kindNobr: formatting | breakout, kindFont: formatting, kindFormat: formatting | breakout,
	kindMarked: special | scoping,
	kindVoid:   special | empty, kindBr: special | empty | breakout, kindImage: empty, kindInput: special | empty,
	kindParam: special | empty, kindHr: special | empty | breakout, kindMeta: special | empty, kindFrame: special | empty,
	kindCol:   special | empty,
	kindTitle: special | rawText, kindTextarea: special | rawText, kindStyle: special | rawText,
	kindScript: special | rawText, kindXmp: special | rawText, kindIframe: special | rawText,
	kindNoembed: special | rawText, kindNoframes: special | rawText, kindNoscript: special | rawText,
	kindSelect: special, kindOption: implied | optional | plainEnd, kindOptgroup: implied | optional | plainEnd,
	kindRb: implied | optional | plainEnd, kindRtc: implied | optional | plainEnd, kindRp: implied | optional | plainEnd,
	kindRt:    implied | optional | plainEnd,
	kindTable: special | scoping | breakout | fosters, kindCaption: special | scoping | optional,
	kindColgroup: special | optional, kindTbody: special | optional | fosters, kindTr: special | optional | fosters,
	kindTd:   special | scoping | optional,
	kindHTML: special | scoping | optional, kindHead: special | breakout | optional, kindBody: special | breakout | optional,
	kindFrameset: special, kindTemplate: special | scoping,
}

var kindNames = [kindCount][]string{
	kindRuby: {"ruby"}, kindSpan: {"span"}, kindSub: {"sub"}, kindSup: {"sup"}, kindVar: {"var"},
	kindBlock: {"address", "article", "aside", "blockquote", "center", "details", "dir", "dl", "fieldset", "figcaption",
		"figure", "footer", "header", "hgroup", "main", "menu", "nav", "section", "summary"},
	kindDiv: {"div"}, kindOl: {"ol"}, kindUl: {"ul"}, kindDialog: {"dialog"}, kindSearch: {"search"}, kindP: {"p"},
	kindHeading: {"h1", "h2", "h3", "h4", "h5", "h6"}, kindPre: {"pre"}, kindListing: {"listing"}, kindForm: {"form"},
	kindLi: {"li"}, kindDd: {"dd"}, kindDt: {"dt"}, kindPlaintext: {"plaintext"}, kindButton: {"button"},
	kindA: {"a"}, kindNobr: {"nobr"}, kindFont: {"font"},
	kindFormat: {"b", "big", "code", "em", "i", "s", "small", "strike", "strong", "tt", "u"},
	kindMarked: {"applet", "marquee", "object"},
	kindVoid:   {"area", "embed", "img", "keygen", "wbr"}, kindBr: {"br"}, kindImage: {"image"}, kindInput: {"input"},
	kindParam: {"param", "source", "track"}, kindHr: {"hr"}, kindMeta: {"base", "basefont", "bgsound", "link", "meta"},
	kindFrame: {"frame"}, kindCol: {"col"}, kindTitle: {"title"}, kindTextarea: {"textarea"}, kindStyle: {"style"},
	kindScript: {"script"}, kindXmp: {"xmp"}, kindIframe: {"iframe"}, kindNoembed: {"noembed"}, kindNoframes: {"noframes"},
	kindNoscript: {"noscript"}, kindSelect: {"select"}, kindOption: {"option"}, kindOptgroup: {"optgroup"}, kindRb: {"rb"},
	kindRtc: {"rtc"}, kindRp: {"rp"}, kindRt: {"rt"}, kindMath: {"math"}, kindSVG: {"svg"}, kindTable: {"table"},
	kindCaption: {"caption"}, kindColgroup: {"colgroup"}, kindTbody: {"tbody", "tfoot", "thead"}, kindTr: {"tr"},
	kindTd: {"td", "th"}, kindHTML: {"html"}, kindHead: {"head"}, kindBody: {"body"}, kindFrameset: {"frameset"},
	kindTemplate: {"template"},
}

// kindSlots is the size of the table by which a name's kind is found.
const kindSlots = 512

type kindSlot struct {
	key   nameKey
	kind  kind
	quick quick
	props props
}

// A quick is what a start tag does in the usual case: "in body", with no
// formatting element to be opened anew.
type quick uint8

const (
	quickP    quick = 1 << iota // it is a p
	quickFlat                   // only if no p is open
	quickLeaf                   // nothing stays open
	quickRare                   // more is to be looked at
	notQuick
)

var kindQuick = func() (all [kindCount]quick) {
	for k := range all {
		all[k] = notQuick
	}
	for q, kinds := range map[quick][]kind{
		0:                     {kindOther, kindRuby, kindSpan, kindSub, kindSup, kindVar},
		quickFlat:             {kindBlock, kindDiv, kindOl, kindUl},
		quickFlat | quickP:    {kindP},
		quickFlat | quickRare: {kindHeading, kindLi, kindDd, kindDt},
		quickRare:             {kindA, kindFont, kindFormat, kindTd, kindTr},
		quickLeaf:             {kindVoid, kindBr, kindImage, kindInput, kindParam},
		quickFlat | quickLeaf: {kindHr},
	} {
		for _, k := range kinds {
			all[k] = q
		}
	}
	return all
}()

// kindIndex finds kinds by open addressing; an empty slot ends a search.
var kindIndex = func() *[kindSlots]kindSlot {
	var t [kindSlots]kindSlot
	for k, names := range kindNames {
		for _, name := range names {
			key := keyOf([]byte(name))
			i := key.slot()
			for t[i].key != 0 {
				i = (i + 1) % kindSlots
			}
			t[i] = kindSlot{key, kind(k), kindQuick[k], kindProps[k]}
		}
	}
	for i := range t {
		if t[i].key == 0 {
			t[i].props = kindProps[kindOther]
		}
	}
	return &t
}()

func (k nameKey) slot() uint { return uint(uint64(k)*0x9e3779b97f4a7c15>>55) % kindSlots }

// kind is what tree construction knows the name as.
func (k nameKey) kind() kind { return k.find().kind }

// find gives the name's slot, or an empty one, which says kindOther.
func (k nameKey) find() *kindSlot {
	for i := k.slot(); ; i = (i + 1) % kindSlots {
		if s := &kindIndex[i]; s.key == k || s.key == 0 {
			return s
		}
	}
}

// Keys that single names are known by where their kind is shared.
var (
	keyHTML          = keyOf([]byte("html"))
	keyHead          = keyOf([]byte("head"))
	keyBody          = keyOf([]byte("body"))
	keyAddress       = keyOf([]byte("address"))
	keyBlockquote    = keyOf([]byte("blockquote"))
	keyCenter        = keyOf([]byte("center"))
	keyDl            = keyOf([]byte("dl"))
	keyMenu          = keyOf([]byte("menu"))
	keyEmbed         = keyOf([]byte("embed"))
	keyMarquee       = keyOf([]byte("marquee"))
	keyImg           = keyOf([]byte("img"))
	keyMeta          = keyOf([]byte("meta"))
	keyForm          = keyOf([]byte("form"))
	keyColgroup      = keyOf([]byte("colgroup"))
	keyTbody         = keyOf([]byte("tbody"))
	keyTr            = keyOf([]byte("tr"))
	keyTh            = keyOf([]byte("th"))
	keySVG           = keyOf([]byte("svg"))
	keyDesc          = keyOf([]byte("desc"))
	keyTitle         = keyOf([]byte("title"))
	keyForeignObject = keyOf([]byte("foreignobject"))
	keyAnnotation    = keyOf([]byte("annotation-xml"))
	keyMglyph        = keyOf([]byte("mglyph"))
	keyMalignmark    = keyOf([]byte("malignmark"))
	keyMi            = keyOf([]byte("mi"))
	keyMo            = keyOf([]byte("mo"))
	keyMn            = keyOf([]byte("mn"))
	keyMs            = keyOf([]byte("ms"))
	keyMtext         = keyOf([]byte("mtext"))
)

// shortName reads a tag's name of fewer than eight bytes from the eight of x.
// Its size is 0 if that can't be done at once: the name is longer, or has other
// characters than lower-case ASCII letters and digits.
func shortName(x uint64) (key nameKey, size int) {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
		ends  = 1<<'\t' | 1<<'\n' | 1<<'\f' | 1<<'\r' | 1<<' ' | 1<<'/' | 1<<'>'
	)
	// In each of these the lowest bit set is right: bytes below '0', and '>'.
	gt := x ^ ones*'>'
	end := ((x-ones*'0')&^x | (gt-ones)&^gt) & highs
	mask := end ^ (end - 1) // up to and with the high bit of the byte at the end
	n := trailingBytes(end)
	c := byte(x >> (8 * n & 63))
	mask >>= 8
	x &= mask
	if end == 0 || ends>>(c&63)&1 == 0 || x&highs != 0 || ^x&(ones*0x20)&mask != 0 {
		return 0, 0
	}
	return nameKey(x), n
}
