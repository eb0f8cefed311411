from rest_framework.routers import SimpleRouter

from realtime import views

router = SimpleRouter(trailing_slash=False)
router.register("coins", views.CoinViewSet, "coin")

urlpatterns = router.urls
