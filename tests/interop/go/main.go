// Verifies access tokens of Daypass as a resource server in Go does: with golang-jwt, and keyfunc, which brings it the key set.
// With the argument `clientcredentials`, it is a machine client.
//
// The case comes on standard input, the line about it goes to standard output: see ../README.md.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const library = "github.com/golang-jwt/jwt/v5"

var input struct {
	Issuer, Audience, Algorithm, Good, Subject, Scope string

	Refused map[string]string
}

// The library leaves `typ` to its caller.
var errNotAnAccessToken = errors.New("not an access token")

// In this order: a kid that is unknown makes keyfunc ask again, once in a while.
var refusals = []struct {
	name   string
	reason error
}{
	{"expired", jwt.ErrTokenExpired},
	{"another_audience", jwt.ErrTokenInvalidAudience},
	{"another_issuer", jwt.ErrTokenInvalidIssuer},
	{"another_type", errNotAnAccessToken},
	{"changed_claims", jwt.ErrTokenSignatureInvalid},
	{"changed_signature", jwt.ErrTokenSignatureInvalid},
	{"another_key", jwt.ErrTokenSignatureInvalid},
	{"unsigned", jwt.ErrTokenSignatureInvalid},
	{"unsigned_with_a_signature", jwt.ErrTokenSignatureInvalid},
	{"hmac_with_the_public_key", jwt.ErrTokenSignatureInvalid},
	{"unknown_kid", keyfunc.ErrKeyfunc},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && os.Args[1] == "clientcredentials" {
		clientCredentials()
		return
	}
	must(json.NewDecoder(os.Stdin).Decode(&input))
	keys, err := keyfunc.NewDefault([]string{jwksURI()})
	must(err)

	verify := func(token string) (jwt.MapClaims, error) {
		claims := jwt.MapClaims{}
		parsed, err := jwt.ParseWithClaims(token, claims, keys.Keyfunc,
			jwt.WithIssuer(input.Issuer), jwt.WithAudience(input.Audience),
			jwt.WithValidMethods([]string{input.Algorithm}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if err == nil && parsed.Header["typ"] != "at+jwt" {
			err = errNotAnAccessToken
		}
		return claims, err
	}

	claims, err := verify(input.Good)
	must(err)
	if claims["sub"] != input.Subject || claims["scope"] != input.Scope {
		log.Fatalf("other claims: %v", claims)
	}
	cases := []string{"good"}
	for _, refusal := range refusals {
		if _, err := verify(input.Refused[refusal.name]); !errors.Is(err, refusal.reason) {
			log.Fatalf("%s: %v", refusal.name, err)
		}
		cases = append(cases, refusal.name)
	}
	covered(library, cases)
}

// covered tells the test which cases have passed.
func covered(library string, cases []string) {
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"library": library, "version": version(library), "cases": cases,
	}))
}

// jwksURI is what the discovery document says.
func jwksURI() string {
	var metadata struct {
		JwksURI string `json:"jwks_uri"`
	}
	discover(input.Issuer, &metadata)
	return metadata.JwksURI
}

// discover reads the discovery document.
func discover(issuer string, metadata any) {
	response, err := http.Get(issuer + "/.well-known/openid-configuration")
	must(err)
	defer response.Body.Close()
	must(json.NewDecoder(response.Body).Decode(metadata))
}

// version is the library's, as it was linked.
func version(library string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == library {
			return module.Version
		}
	}
	panic(fmt.Sprintf("%s is not linked", library))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
