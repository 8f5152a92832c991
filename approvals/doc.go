// Package approvals signs and verifies approvals: statements that somebody
// agrees to the content of a rule. It knows nothing of what a content is, of who
// may approve, nor of how many have to.
//
// A statement is signed as text. By an SSH key that is done as ssh-keygen -Y sign
// does it, in the format of OpenSSH's PROTOCOL.sshsig under [Namespace]; by a raw
// Ed25519 key (RFC 8032) over the text itself, in base64.
package approvals
