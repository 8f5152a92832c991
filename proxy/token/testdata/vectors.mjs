// Writes what npm's jose, jsonwebtoken, cookie-parser and express make:
//   npm install jose jsonwebtoken express cookie-parser && node vectors.mjs >npm.json
import crypto from 'node:crypto'
import * as jose from 'jose'
import jsonwebtoken from 'jsonwebtoken'
import express from 'express'
import cookieParser from 'cookie-parser'

const secret = 'zK3vN8qPxR5tY7wB2dF4gH6jL9mC1sA0uE7kQ2hT5bX8nV3pJ6yM9cW4rG1fD0zL'
const keys = [], tokens = {}
for (const alg of ['RS256', 'PS384', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
  const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true })
  keys.push({ ...await jose.exportJWK(publicKey), kid: alg, alg, use: 'sig' })
  tokens[alg] = await new jose.SignJWT({ 'https://example.com/org': 'org-1', nested: { org: { id: 42 } } })
    .setProtectedHeader({ alg, kid: alg, typ: 'JWT' })
    .setSubject('ann').setIssuer('https://id.example.com/').setAudience(['other', 'app'])
    .setIssuedAt(1790000000).setNotBefore(1790000000).setExpirationTime(1790003600)
    .sign(privateKey)
}
for (const algorithm of ['HS256', 'HS384', 'HS512']) {
  tokens[algorithm] = jsonwebtoken.sign({ sub: 'ann', iat: 1790000000, exp: 1790003600 }, secret, { algorithm })
}

const app = express()
app.use(cookieParser(secret))
const values = ['ann', 'anna.b@example.com', 'Ännchen 7', 'a.b.c', '42', 's:x.y']
app.get('/', (req, res) => {
  values.forEach((v, i) => res.cookie('c' + i, v, { signed: true }))
  res.cookie('json', { id: 'ann' }, { signed: true })
  res.end()
})
const server = app.listen(0, '127.0.0.1', async () => {
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/`)
  const cookies = answer.headers.getSetCookie().map(c => c.slice(c.indexOf('=') + 1, c.indexOf(';')))
  const hmac = values.map(v => v + '.' + crypto.createHmac('sha256', secret).update(v).digest('hex'))
  console.log(JSON.stringify({
    secret, jwks: { keys }, tokens,
    express: values.map((id, i) => ({ id, cookie: cookies[i] })).concat({ id: '', cookie: cookies[values.length] }),
    hmac: values.map((id, i) => ({ id, cookie: encodeURIComponent(hmac[i]) })),
  }, null, 1))
  server.close()
})
