package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const clientLibrary = "golang.org/x/oauth2"

// clientCredentials gets tokens with golang.org/x/oauth2. It knows secrets, and neither private keys nor introspection.
func clientCredentials() {
	var input struct {
		Issuer, Scope string

		SecretClient  string `json:"secret_client"`
		Secrets       []string
		RevokedSecret string `json:"revoked_secret"`
		NarrowerScope string `json:"narrower_scope"`
	}
	must(json.NewDecoder(os.Stdin).Decode(&input))
	var metadata struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	discover(input.Issuer, &metadata)
	token := func(secret string, scopes ...string) (*oauth2.Token, error) {
		config := clientcredentials.Config{
			ClientID: input.SecretClient, ClientSecret: secret, TokenURL: metadata.TokenEndpoint, Scopes: scopes,
			AuthStyle: oauth2.AuthStyleInHeader,
		}
		return config.Token(context.Background())
	}

	for secret, scope := range map[string]string{
		input.Secrets[0]: input.Scope, input.Secrets[1]: input.NarrowerScope,
	} {
		token, err := token(secret, strings.Fields(scope)...)
		must(err)
		if token.Extra("scope") != scope || token.Type() != "Bearer" || token.RefreshToken != "" {
			log.Fatalf("another token: %v", token)
		}
	}
	_, err := token(input.RevokedSecret)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" ||
		refused.Response.StatusCode != http.StatusUnauthorized {
		log.Fatalf("a revoked secret: %v", err)
	}
	covered(clientLibrary, []string{"basic", "basic_rotated", "basic_revoked"})
}
