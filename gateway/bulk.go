package gateway

import (
	"carillon"
	"carillon/internal/httpapi"
)

func (g *Gateway) postBulk(*httpapi.Request) error {
	return carillon.Errorf(carillon.CodeNotImplemented, "", "bulk sends: not built yet")
}
