from rest_framework.routers import SimpleRouter

from liquidations import views

router = SimpleRouter(trailing_slash=False)
router.register("liquidations", views.LiquidationViewSet, "liquidation")
router.register("liquidation-map", views.LiquidationMapViewSet, "liquidation-map")

urlpatterns = router.urls
